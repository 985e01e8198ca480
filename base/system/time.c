/* Time: the three clocks, RFC 3339 text, durations, and random bytes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/timex.h>
#include <time.h>

#include <flotilla/base.h>

static uint64_t clock_us(clockid_t id)
{
    struct timespec now;

    if (clock_gettime(id, &now) < 0) {
        abort(); /* these clocks exist on every supported kernel */
    }
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

uint64_t flo_backoff_ms(uint64_t first_ms, uint64_t failures, uint64_t most_ms)
{
    uint64_t ms = first_ms;

    for (uint64_t i = 1; i < failures && ms < most_ms; i++) {
        ms *= 2;
    }
    return ms < most_ms ? ms : most_ms;
}

uint64_t flo_now_ms(void)
{
    return clock_us(CLOCK_BOOTTIME) / 1000;
}

uint64_t flo_now_us(void)
{
    return clock_us(CLOCK_MONOTONIC);
}

uint64_t flo_thread_us(void)
{
    return clock_us(CLOCK_THREAD_CPUTIME_ID);
}

uint64_t flo_wall_ms(void)
{
    return clock_us(CLOCK_REALTIME) / 1000;
}

bool flo_wall_is_kept(void)
{
    struct timex kernel = {.modes = 0}; /* only reads */

    return adjtimex(&kernel) >= 0 && (kernel.status & STA_UNSYNC) == 0;
}

uint64_t flo_build_ms(void)
{
    return UINT64_C(1000) * FLO_BUILD_S;
}

static unsigned days_of_month(unsigned year, unsigned month)
{
    static const unsigned char days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return days[month - 1] + (month == 2 && is_leap ? 1u : 0u);
}

/* Returns the days from 1970-01-01 to a date from 1970 on. */
static uint64_t days_since_epoch(unsigned year, unsigned month, unsigned day)
{
    uint64_t past = year - 1; /* complete years before this one, counted from year 1 */
    uint64_t days = past * 365 + past / 4 - past / 100 + past / 400;

    for (unsigned m = 1; m < month; m++) {
        days += days_of_month(year, m);
    }
    return days + day - 1 - 719162; /* 719162 days are before 1970-01-01 */
}

#define DAY_MS 86400000u
/* Last millisecond of year 9999, the largest that RFC 3339 can write. */
#define WALL_MS_MAX UINT64_C(253402300799999)

void flo_time_text(uint64_t wall_ms, char *out)
{
    if (wall_ms > WALL_MS_MAX) {
        wall_ms = WALL_MS_MAX;
    }
    /* gmtime() is not used, because a 32-bit time_t ends in 2038. */
    uint64_t days = wall_ms / DAY_MS;
    unsigned second = (unsigned)(wall_ms % DAY_MS / 1000);
    unsigned year = 1970 + (unsigned)(days / 366); /* a lower bound of the year */
    while (days_since_epoch(year + 1, 1, 1) <= days) {
        year++;
    }
    unsigned day = (unsigned)(days - days_since_epoch(year, 1, 1));
    unsigned month = 1;
    for (; day >= days_of_month(year, month); month++) {
        day -= days_of_month(year, month);
    }
    snprintf(out, 25, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ", year % 10000, month % 100,
             (day + 1) % 100, second / 3600 % 24, second / 60 % 60, second % 60,
             (unsigned)(wall_ms % 1000));
}

/* Reads `digits` decimal digits at *text, and moves *text past them. */
static bool read_digits(const char **text, int digits, unsigned *out)
{
    unsigned value = 0;

    for (int i = 0; i < digits; i++) {
        char c = (*text)[i];
        if (c < '0' || c > '9') {
            return false;
        }
        value = value * 10 + (unsigned)(c - '0');
    }
    *text += digits;
    *out = value;
    return true;
}

static bool read_character(const char **text, char c)
{
    if (**text != c) {
        return false;
    }
    (*text)++;
    return true;
}

/* Reads a fraction ".<1 to 9 digits>", cut to milliseconds, or no text. */
static bool read_fraction(const char **text, unsigned *ms)
{
    unsigned scale = 100;
    int digits = 0;

    *ms = 0;
    if (**text != '.') {
        return true;
    }
    (*text)++;
    while (**text >= '0' && **text <= '9') {
        *ms += scale * (unsigned)(**text - '0');
        scale /= 10;
        (*text)++;
        digits++;
    }
    return digits >= 1 && digits <= 9;
}

bool flo_time_parse(const char *text, uint64_t *wall_ms)
{
    unsigned year, month, day, hour, minute, second, ms;

    if (text == NULL || !read_digits(&text, 4, &year) || !read_character(&text, '-') ||
        !read_digits(&text, 2, &month) || !read_character(&text, '-') ||
        !read_digits(&text, 2, &day) || !read_character(&text, 'T') ||
        !read_digits(&text, 2, &hour) || !read_character(&text, ':') ||
        !read_digits(&text, 2, &minute) || !read_character(&text, ':') ||
        !read_digits(&text, 2, &second) || !read_fraction(&text, &ms) ||
        !read_character(&text, 'Z') || *text != '\0') {
        return false;
    }
    if (year < 1970 || month < 1 || month > 12 || day < 1 || day > days_of_month(year, month) ||
        hour > 23 || minute > 59 || second > 59) {
        return false;
    }
    uint64_t seconds =
        days_since_epoch(year, month, day) * 86400 + hour * 3600 + minute * 60 + second;
    *wall_ms = seconds * 1000 + ms;
    return true;
}

bool flo_duration_parse(const char *text, uint64_t *ms)
{
    static const struct {
        const char *unit;
        uint64_t ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    uint64_t value = 0;
    const char *p = text;

    if (text == NULL || *p < '0' || *p > '9') {
        return false;
    }
    for (; *p >= '0' && *p <= '9'; p++) {
        if (!flo_mul_u64(value, 10, &value) || !flo_add_u64(value, (uint64_t)(*p - '0'), &value)) {
            return false;
        }
    }
    for (size_t i = 0; i < FLO_COUNT(units); i++) {
        if (strcmp(p, units[i].unit) == 0) {
            return flo_mul_u64(value, units[i].ms, ms);
        }
    }
    return false;
}

void flo_random(void *out, size_t bytes)
{
    uint8_t *p = out;

    while (bytes > 0) {
        ssize_t got = getrandom(p, bytes, 0);
        if (got < 0) {
            if (errno == EINTR) {
                continue;
            }
            abort(); /* without random bytes a key or a nonce would be predictable */
        }
        p += got;
        bytes -= (size_t)got;
    }
}
