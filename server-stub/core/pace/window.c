/* Windows: see window.h. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <flotilla/proto.h>

#include "server-stub/core/pace/window.h"

#define DAY_S 86400
#define WEEK_DAYS 7

/* ---- text ---- */

static const char *const day_words[WEEK_DAYS] = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"};

static int day_of(const char *at)
{
    for (int i = 0; i < WEEK_DAYS; i++) {
        if (strncmp(at, day_words[i], 3) == 0) {
            return i;
        }
    }
    return -1;
}

/* Parses days, as in "mon-fri" or "sat,sun", and a blank.  Returns the text
 * behind them; NULL: the text has another form. */
static const char *parse_days(const char *at, uint8_t *days)
{
    *days = 0;
    for (;;) {
        int from = day_of(at);
        int to = from;
        if (from < 0) {
            return NULL;
        }
        at += 3;
        if (*at == '-') {
            to = day_of(at + 1);
            if (to < 0) {
                return NULL;
            }
            at += 4;
        }
        for (int day = from;; day = (day + 1) % WEEK_DAYS) {
            *days |= (uint8_t)(1u << day);
            if (day == to) {
                break;
            }
        }
        if (*at == ' ') {
            return at + 1;
        }
        if (*at++ != ',') {
            return NULL;
        }
    }
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Parses a time, "HH:MM" up to 24:00.  Returns the text behind it; NULL: the
 * text has another form. */
static const char *parse_time(const char *at, uint32_t *out)
{
    if (!is_digit(at[0]) || !is_digit(at[1]) || at[2] != ':' || !is_digit(at[3]) ||
        !is_digit(at[4])) {
        return NULL;
    }
    uint32_t hours = (uint32_t)(at[0] - '0') * 10 + (uint32_t)(at[1] - '0');
    uint32_t minutes = (uint32_t)(at[3] - '0') * 10 + (uint32_t)(at[4] - '0');
    *out = hours * 3600 + minutes * 60;
    return minutes < 60 && *out <= DAY_S ? at + 5 : NULL;
}

static bool is_zone(const char *text)
{
    size_t chars = strlen(text);

    return chars > 0 && chars <= FLO_WINDOW_ZONE_MAX &&
           strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                        "0123456789/_+-:") == chars;
}

static bool parse_zone(const char *text, struct flo_window *out)
{
    out->is_local = *text == '\0' || strcmp(text, "device-local") == 0;
    if (out->is_local) {
        return true;
    }
    if (!is_zone(text)) {
        return false;
    }
    memcpy(out->zone, text, strlen(text) + 1);
    return true;
}

bool flo_window_parse(const char *text, struct flo_window *out)
{
    struct flo_window window = {.days = FLO_WINDOW_ALL_DAYS};
    const char *at = text;
    uint32_t to;

    assert(text != NULL && out != NULL);
    if (!is_digit(*at)) {
        at = parse_days(at, &window.days);
    }
    if (at == NULL || (at = parse_time(at, &window.from_s)) == NULL || *at++ != '-' ||
        (at = parse_time(at, &to)) == NULL || (*at != '\0' && *at++ != ' ') ||
        !parse_zone(at, &window) || window.from_s == to || window.from_s == DAY_S || to == 0) {
        return false;
    }
    window.length_s = to > window.from_s ? to - window.from_s : to + DAY_S - window.from_s;
    *out = window;
    return true;
}

/* ---- time ---- */

bool flo_window_is_open(const struct flo_window *window, int32_t offset_s, uint64_t wall_ms,
                        uint64_t *change_ms)
{
    const struct flo_daily daily = {
        .from_s = window->from_s, .length_s = window->length_s, .days = window->days};
    int64_t local_s = (int64_t)(wall_ms / 1000) + offset_s;
    int64_t change_s;

    assert(window->from_s < DAY_S && window->length_s <= DAY_S);
    /* a time before the second day of 1970 counts as its start, because days
     * are not negative */
    bool is_open = flo_daily_is_open(&daily, local_s < DAY_S ? DAY_S : local_s, &change_s);
    *change_ms = change_s == INT64_MAX ? UINT64_MAX : (uint64_t)(change_s - offset_s) * 1000;
    return is_open;
}

void flo_window_in_utc(const struct flo_window *window, int32_t offset_s, struct flo_window *out)
{
    int64_t from_s = (int64_t)window->from_s - offset_s;
    int days_later = 0;

    assert(offset_s > -2 * DAY_S && offset_s < 2 * DAY_S);
    assert(window->from_s < DAY_S && window->length_s <= DAY_S);
    *out = (struct flo_window){.length_s = window->length_s};
    while (from_s < 0) {
        from_s += DAY_S;
        days_later--;
    }
    while (from_s >= DAY_S) {
        from_s -= DAY_S;
        days_later++;
    }
    out->from_s = (uint32_t)from_s;
    for (int day = 0; day < WEEK_DAYS; day++) {
        if ((window->days & 1u << day) != 0) {
            int moved = (day + days_later + 2 * WEEK_DAYS) % WEEK_DAYS;
            out->days |= (uint8_t)(1u << moved);
        }
    }
}
