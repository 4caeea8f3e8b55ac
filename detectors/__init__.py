"""Numbers in, verdicts out: no time, keys, Kafka, asyncio or files; numpy and the standard library.

Reading order:

1. `base`: what detectors take and give (`Change`, `Detector`).
2. `adwin` on `exponential_histogram`: changes of a mean, without a reference.
3. `page_hinkley`: the same question with one cumulative sum a side; `calibrated` sets both by a
   budget.
4. `rank_scores`, `tilts` (with `bernoulli_tilts`, `score_tilts`, `thresholds`, `budget_change`),
   `cusum_bank`: a change of any size, in either direction, in many series at once, against
   references, at a budget of false alarms; `working_reference` for how references begin and
   grow, `dependence` for how much they are worth, `effects` and `power` for what people are told,
   `shape` for changes of distribution, `joint_scores` for what only shows between features,
   `run_length` for what has stopped varying; `e_detector`, slower, whose false alarm rate is a
   theorem.
5. `distance`: how far a window lies from the reference (PSI, Kolmogorov-Smirnov): evidence.
6. `log_buckets`, `exact_sum`, `moments`: what panes are made of, and merges exactly.
"""
