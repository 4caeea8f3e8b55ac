/* A batch while it is read: what its records share, and one event at a time. */
#ifndef LEEWAY_BATCH_H
#define LEEWAY_BATCH_H

#include <stdlib.h>

#include "kinds.h"
#include "scan.h"
#include "texts.h"
#include "times.h"

enum { HAS_LABEL = 1, HAS_SCORE = 2, HAS_VALUE = 4, HAS_LATENCY = 8, HAS_FEATURE_SET = 16 };

#define LARGEST_NUMBER 1e100
#define SMALLEST_NUMBER 1e-100
#define LONGEST_ROLE 128
#define MOST_SEGMENTS 64
#define MOST_FIELDS 12 /* that are expected where they were in the record before */
#define INTEGER_DIGITS 18 /* of integers that are surely 64 bits */

typedef struct {
    int32_t name;
    uint8_t kind;
    uint64_t bits;
} Cell;

#define FAMILIAR 128 /* 1 << (64 - 57) */

/* A short text that was a feature's value before, and its hash; none while `text` is 0. */
typedef struct {
    Short text;
    uint64_t hash;
} Familiar;

typedef struct {
    Scanner s;
    Chunk *arena;
    Texts texts;
    Texts groups; /* of codes of texts: model, or model, version and role */
    Texts shapes; /* flags of what is said, then codes of the features' names, ascending */
    Grown cells;  /* of the record that is read */
    Grown order;  /* what stood between the last record's features, in its order */
    Between fields[MOST_FIELDS]; /* and between its fields */
    Familiar familiar[FAMILIAR]; /* values of features, each where it belongs, the latest there */
    Minute minute;
    Grown shape;  /* the key of a shape, while it is made */
    Grown kind, bits;
    Grown feature_sets; /* code of each row, from the first row on that names one */
    Texts segments;     /* pairs of codes: name and value, in the order of the event */
    Grown segment;      /* the key of one, while it is made */
    Grown of_segments;  /* code of each row, where they are asked for */
    bool reads_segments;
    int32_t last_group, last_shape, last_label, last_model, last_version, last_role, last_set,
        last_segment;
    int32_t last_given;
    bool is_shape_known; /* of features named as in the record before, with what was given there */
    size_t most_features;
} Batch;

typedef struct {
    Text id;
    int64_t time_ms, revision;
    int32_t model, version, role, label, feature_set, segment; /* codes of texts */
    double score, value, latency_ms;
    bool retracted;
} Event;

#endif
