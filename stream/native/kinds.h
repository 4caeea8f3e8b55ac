/* Kinds of cells, as in columns.py. */
#ifndef LEEWAY_KINDS_H
#define LEEWAY_KINDS_H

enum { ABSENT, NULL_CELL, NUMBER, TEXT, OTHER, KINDS };

#endif
