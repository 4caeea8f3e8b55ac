"""Numbers in, verdicts out: no time, keys, Kafka, asyncio or files; numpy and the standard library.

Reading order:

1. `base`: what detectors take and give (`Change`, `Detector`).
2. `adwin` on `exponential_histogram`: changes of a mean, without a reference.
3. `page_hinkley`: the same question with one cumulative sum a side.
4. `rate_cusum`: a rate above its reference (null, absent, type error, unseen category).
5. `distance`: how far a window lies from the reference (PSI, Kolmogorov-Smirnov): evidence.
6. `exact_sum`, `moments`, `quantile_sketch`, `category_sketch`, `row_sample`: mergeable summaries.
7. `reference`: the frozen, versioned profile.
"""
