/* RFC 3339 times from 1970 to 2199, as epoch milliseconds. */
#ifndef LEEWAY_TIMES_H
#define LEEWAY_TIMES_H

#include "scan.h"

#define LATEST_MS 7258118400000LL /* as in events.py */

/* `count` digits, or -1. */
static inline int digits_of(const uint8_t *p, int count)
{
    int value = 0;
    for (int i = 0; i < count; i++) {
        if (!is_digit(p[i]))
            return -1;
        value = 10 * value + (p[i] - '0');
    }
    return value;
}

/* Days since 1970-01-01 (Howard Hinnant, "chrono-compatible low-level date algorithms"). */
static inline int64_t days_of(int year, int month, int day)
{
    year -= month <= 2;
    int era = year / 400, of_era = year - 400 * era;
    int of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return 146097LL * era + 365 * of_era + of_era / 4 - of_era / 100 + of_year - 719468;
}

static inline bool is_day(int year, int month, int day)
{
    static const int LENGTHS[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (month < 1 || month > 12 || day < 1)
        return false;
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return day <= LENGTHS[month - 1] + (month == 2 && leap);
}

#define MINUTE 17 /* characters: YYYY-MM-DDTHH:MM: */

/* The minute of the time before, as it was written: most have the same. */
typedef struct {
    uint8_t text[MINUTE];
    int64_t begins_s;
} Minute;

static inline bool minute_s(const uint8_t *p, int64_t *seconds)
{
    if (p[4] != '-' || p[7] != '-' || p[10] != 'T' || p[13] != ':' || p[16] != ':')
        return false;
    int year = digits_of(p, 4), month = digits_of(p + 5, 2), day = digits_of(p + 8, 2);
    int hour = digits_of(p + 11, 2), minute = digits_of(p + 14, 2);
    if (year < 1970 || !is_day(year, month, day) || hour < 0 || hour > 23 || minute < 0 ||
        minute > 59)
        return false;
    *seconds = 86400 * days_of(year, month, day) + 3600 * hour + 60 * minute;
    return true;
}

/* YYYY-MM-DDTHH:MM:SS[.f…](Z|±HH:MM); the fraction to the nearest microsecond. */
static inline bool rfc3339_ms(Text t, Minute *last, int64_t *ms)
{
    const uint8_t *p = t.p, *end = t.p + t.n;
    if (t.n < 20)
        return false;
    if (!last->text[0] || !same(p, last->text, MINUTE)) {
        if (!minute_s(p, &last->begins_s))
            return false;
        memcpy(last->text, p, MINUTE);
    }
    int second = digits_of(p + 17, 2);
    if (second < 0 || second > 59)
        return false;
    int64_t micros = 0;
    p += 19;
    if (*p == '.') {
        int count = 0;
        bool up = false;
        for (p++; p < end && is_digit(*p); p++, count++) {
            if (count < 6)
                micros = 10 * micros + (*p - '0');
            else if (count == 6)
                up = *p >= '5';
        }
        if (count == 0 || count > 9)
            return false;
        for (; count < 6; count++)
            micros *= 10;
        micros += up;
    }
    int64_t shift_s = 0;
    if (end - p == 1 && *p == 'Z') {
    } else if (end - p == 6 && (*p == '+' || *p == '-') && p[3] == ':') {
        int hours = digits_of(p + 1, 2), minutes = digits_of(p + 4, 2);
        if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59)
            return false;
        shift_s = (3600LL * hours + 60 * minutes) * (*p == '-' ? -1 : 1);
    } else {
        return false;
    }
    int64_t seconds = last->begins_s + second - shift_s;
    *ms = seconds * 1000 + micros / 1000;
    return seconds >= 0 && *ms < LATEST_MS;
}

#endif
