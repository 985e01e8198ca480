/* Time zones: reads a zone and computes its offset; see zone.h.
 *
 * A TZif file holds the times at which the offset changed, and a rule (a POSIX
 * TZ string) for all times after the last. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/zone.h"

#define FOLDER "/usr/share/zoneinfo"
#define FILE_BYTES_MAX (256 * 1024)
#define CHANGES_MAX 4096
#define TYPES_MAX 256
#define HEAD_BYTES 44
#define DAY_S 86400
#define OFFSET_S_MAX (26 * 3600)

/* A day of the year on which the offset changes. */
struct day {
    enum { NEVER, MONTH_WEEK, JULIAN, ZERO_BASED } form;
    /* for MONTH_WEEK: the weekday in that week of the month; week 5 means the
     * last one */
    int month, week, weekday;
    /* for JULIAN: day 1 to 365, without 29 February; for ZERO_BASED: days since
     * 1 January */
    int day;
    int32_t at_s; /* time of that day in seconds, by the offset before the change */
};
struct rule {
    bool is_there;
    bool has_summer;
    int32_t winter_s, summer_s; /* offsets */
    struct day begin, end;      /* days on which daylight saving time begins and ends */
};
struct flo_zone {
    size_t count;
    int64_t *at_s; /* times of the `count` changes, ascending */
    uint8_t *type; /* [count] */
    int32_t offset_s[TYPES_MAX];
    struct rule rule;
};

/* ---- offsets as text ---- */

static bool digits(const char *text, size_t count, int *out)
{
    *out = 0;
    for (size_t i = 0; i < count; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return false;
        }
        *out = 10 * *out + (text[i] - '0');
    }
    return true;
}

bool flo_zone_offset_parse(const char *text, int32_t *offset_s)
{
    int hours;
    int minutes = 0;

    if (strcmp(text, "UTC") == 0 || strcmp(text, "Z") == 0) {
        *offset_s = 0;
        return true;
    }
    if ((text[0] != '+' && text[0] != '-') || !digits(text + 1, 2, &hours)) {
        return false;
    }
    const char *rest = text + 3;
    rest += *rest == ':' ? 1 : 0;
    bool has_minutes = *rest != '\0';
    if ((has_minutes && (!digits(rest, 2, &minutes) || rest[2] != '\0')) ||
        (!has_minutes && rest != text + 3) || hours > 14 || minutes > 59) {
        return false;
    }
    *offset_s = (text[0] == '-' ? -1 : 1) * (hours * 3600 + minutes * 60);
    return true;
}

void flo_zone_offset_text(int32_t offset_s, char *out)
{
    int minutes = abs(offset_s) / 60;

    snprintf(out, 8, "%c%02d:%02d", offset_s < 0 ? '-' : '+', minutes / 60 % 100, minutes % 60);
}

/* ---- the rule ---- */

static const char *parse_number(const char *at, int max, int *out)
{
    int value = 0;
    const char *from = at;

    while (*at >= '0' && *at <= '9' && value <= max) {
        value = 10 * value + (*at++ - '0');
    }
    *out = value;
    return at > from && value <= max ? at : NULL;
}

/* Reads a time "[+-]hh[:mm[:ss]]". */
static const char *parse_clock(const char *at, int hours_max, int32_t *out)
{
    int sign = *at == '-' ? -1 : 1;
    int part[3] = {0};

    at += *at == '-' || *at == '+' ? 1 : 0;
    if ((at = parse_number(at, hours_max, &part[0])) == NULL) {
        return NULL;
    }
    for (int i = 1; i < 3 && *at == ':'; i++) {
        if ((at = parse_number(at + 1, 59, &part[i])) == NULL) {
            return NULL;
        }
    }
    *out = sign * (part[0] * 3600 + part[1] * 60 + part[2]);
    return at;
}

/* Skips a zone's name, such as "CET" or "<+03>". */
static const char *skip_name(const char *at)
{
    const char *from = at;

    if (*at == '<') {
        at = strchr(at, '>');
        return at != NULL ? at + 1 : NULL;
    }
    while ((*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z')) {
        at++;
    }
    return at - from >= 3 ? at : NULL;
}

static const char *parse_day(const char *at, struct day *out)
{
    out->at_s = 2 * 3600;
    if (*at == 'M') {
        out->form = MONTH_WEEK;
        if ((at = parse_number(at + 1, 12, &out->month)) == NULL || *at++ != '.' ||
            (at = parse_number(at, 5, &out->week)) == NULL || *at++ != '.' ||
            (at = parse_number(at, 6, &out->weekday)) == NULL || out->month < 1 || out->week < 1) {
            return NULL;
        }
    } else {
        out->form = *at == 'J' ? JULIAN : ZERO_BASED;
        at = parse_number(at + (*at == 'J' ? 1 : 0), 365, &out->day);
        if (at == NULL || (out->form == JULIAN && out->day < 1)) {
            return NULL;
        }
    }
    return *at == '/' ? parse_clock(at + 1, 167, &out->at_s) : at;
}

/* Parses a rule "CET-1CEST,M3.5.0,M10.5.0/3", whose offsets count west of
 * UTC. */
static bool parse_rule(const char *at, struct rule *out)
{
    *out = (struct rule){.is_there = true};
    if ((at = skip_name(at)) == NULL || (at = parse_clock(at, 24, &out->winter_s)) == NULL) {
        return false;
    }
    out->winter_s = -out->winter_s;
    if (*at == '\0') {
        return true;
    }
    out->has_summer = true;
    out->summer_s = out->winter_s + 3600;
    if ((at = skip_name(at)) == NULL) {
        return false;
    }
    if (*at != ',') {
        if ((at = parse_clock(at, 24, &out->summer_s)) == NULL) {
            return false;
        }
        out->summer_s = -out->summer_s;
    }
    return *at == ',' && (at = parse_day(at + 1, &out->begin)) != NULL && *at == ',' &&
           (at = parse_day(at + 1, &out->end)) != NULL && *at == '\0';
}

/* ---- days ---- */

static bool is_leap(int64_t year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* Returns the days from 1970-01-01 to the first day of a year. */
static int64_t days_to_year(int64_t year)
{
    int64_t before = year - 1;

    return 365 * (year - 1970) + before / 4 - before / 100 + before / 400 - 477;
}

static int64_t year_of(int64_t wall_s)
{
    int64_t days = wall_s / DAY_S;
    int64_t year = 1970 + days / 366;

    while (days_to_year(year + 1) <= days) {
        year++;
    }
    return year;
}

static int days_of_month(int month, bool leap)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

    return days[month - 1] + (month == 2 && leap ? 1 : 0);
}

/* Returns the days from 1970-01-01 to the date of `day` in a year. */
static int64_t day_in(const struct day *day, int64_t year)
{
    bool leap = is_leap(year);
    int64_t first = days_to_year(year);

    if (day->form == ZERO_BASED) {
        return first + day->day;
    }
    if (day->form == JULIAN) {
        return first + day->day - 1 + (leap && day->day >= 60 ? 1 : 0);
    }
    for (int month = 1; month < day->month; month++) {
        first += days_of_month(month, leap);
    }
    int weekday = (int)((first + 4) % 7); /* 1970-01-01 was a Thursday */
    int offset = (day->weekday - weekday + 7) % 7 + 7 * (day->week - 1);
    while (offset >= days_of_month(day->month, leap)) {
        offset -= 7;
    }
    return first + offset;
}

static int32_t rule_offset(const struct rule *rule, int64_t wall_s)
{
    if (!rule->has_summer) {
        return rule->winter_s;
    }
    int64_t year = year_of(wall_s + rule->winter_s > 0 ? wall_s + rule->winter_s : 0);
    int64_t begin = day_in(&rule->begin, year) * DAY_S + rule->begin.at_s - rule->winter_s;
    int64_t end = day_in(&rule->end, year) * DAY_S + rule->end.at_s - rule->summer_s;
    bool is_summer =
        begin < end ? wall_s >= begin && wall_s < end : wall_s >= begin || wall_s < end;
    return is_summer ? rule->summer_s : rule->winter_s;
}

/* ---- the file ---- */

static uint32_t be32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static int64_t be64(const uint8_t *at)
{
    return (int64_t)((uint64_t)be32(at) << 32 | be32(at + 4));
}

struct head {
    uint32_t utc, standard, leap, times, types, chars;
};

static bool read_head(const uint8_t *at, const uint8_t *end, struct head *out)
{
    if (end - at < HEAD_BYTES || memcmp(at, "TZif", 4) != 0) {
        return false;
    }
    *out = (struct head){be32(at + 20), be32(at + 24), be32(at + 28),
                         be32(at + 32), be32(at + 36), be32(at + 40)};
    return out->times <= CHANGES_MAX && out->types >= 1 && out->types <= TYPES_MAX &&
           out->leap <= CHANGES_MAX && out->chars <= CHANGES_MAX && out->utc <= TYPES_MAX &&
           out->standard <= TYPES_MAX;
}

/* Returns the bytes of a block whose times have `width` bytes. */
static size_t block_bytes(const struct head *head, size_t width)
{
    return head->times * (width + 1) + head->types * 6 + head->chars + head->leap * (width + 4) +
           head->standard + head->utc;
}

static bool read_block(const struct head *head, const uint8_t *at, struct flo_zone *zone)
{
    const uint8_t *types = at + head->times * 8;
    const uint8_t *infos = types + head->times;

    for (uint32_t i = 0; i < head->types; i++) {
        zone->offset_s[i] = (int32_t)be32(infos + 6 * i);
        if (zone->offset_s[i] < -OFFSET_S_MAX || zone->offset_s[i] > OFFSET_S_MAX) {
            return false;
        }
    }
    for (uint32_t i = 0; i < head->times; i++) {
        zone->at_s[i] = be64(at + 8 * i);
        zone->type[i] = types[i];
        if (types[i] >= head->types || (i > 0 && zone->at_s[i] <= zone->at_s[i - 1])) {
            return false;
        }
    }
    zone->count = head->times;
    return true;
}

static bool read_footer(const uint8_t *at, const uint8_t *end, struct rule *out)
{
    char text[128];
    const uint8_t *close = end - at > 1 ? memchr(at + 1, '\n', (size_t)(end - at) - 1) : NULL;

    if (at >= end || *at != '\n' || close == NULL || close - at > (ptrdiff_t)sizeof(text)) {
        return false;
    }
    memcpy(text, at + 1, (size_t)(close - at) - 1);
    text[close - at - 1] = '\0';
    return text[0] == '\0' || parse_rule(text, out);
}

/* Reads files of version 2 and later, which have 64-bit times. */
static bool read_file(const uint8_t *data, size_t bytes, struct flo_zone *zone)
{
    const uint8_t *end = data + bytes;
    struct head head;

    if (!read_head(data, end, &head) || data[4] < '2') {
        return false;
    }
    size_t first = HEAD_BYTES + block_bytes(&head, 4);
    if (first > bytes || !read_head(data + first, end, &head)) {
        return false;
    }
    const uint8_t *block = data + first + HEAD_BYTES;
    if (block_bytes(&head, 8) > (size_t)(end - block)) {
        return false;
    }
    zone->at_s = calloc(head.times + 1, sizeof(zone->at_s[0]));
    zone->type = calloc(head.times + 1, sizeof(zone->type[0]));
    return zone->at_s != NULL && zone->type != NULL && read_block(&head, block, zone) &&
           read_footer(block + block_bytes(&head, 8), end, &zone->rule);
}

int flo_zone_parse(const uint8_t *data, size_t bytes, struct flo_zone **out, struct flo_err *err)
{
    struct flo_zone *zone = calloc(1, sizeof(*zone));

    if (zone == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "time zone");
    }
    if (!read_file(data, bytes, zone)) {
        flo_zone_close(zone);
        return flo_fail(err, FLO_E_META_SCHEMA, "no time zone of TZif 2");
    }
    *out = zone;
    return 0;
}

void flo_zone_close(struct flo_zone *zone)
{
    if (zone != NULL) {
        free(zone->at_s);
        free(zone->type);
        free(zone);
    }
}

/* Checks the characters of a zone's name, so that its path stays below the
 * folder. */
static bool is_name(const char *name)
{
    size_t chars = strlen(name);

    return chars > 0 && chars < FLO_ZONE_TEXT && name[0] != '/' && strstr(name, "..") == NULL &&
           strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                        "0123456789/_+-") == chars;
}

static int open_offset(int32_t offset_s, struct flo_zone **out, struct flo_err *err)
{
    *out = calloc(1, sizeof(**out));
    if (*out == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "time zone");
    }
    (*out)->rule = (struct rule){.is_there = true, .winter_s = offset_s};
    return 0;
}

int flo_zone_open(const char *name, struct flo_zone **out, struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) char *data = NULL;
    char path[128];
    size_t bytes;
    int32_t offset_s;

    if (flo_zone_offset_parse(name, &offset_s)) {
        return open_offset(offset_s, out, err);
    }
    snprintf(path, sizeof(path), "%s/%.*s", FOLDER, FLO_ZONE_TEXT, name);
    if (!is_name(name) || flo_file_read(path, FILE_BYTES_MAX, &data, &bytes, NULL) < 0 ||
        flo_zone_parse((const uint8_t *)data, bytes, out, NULL) < 0) {
        return flo_fail(err, FLO_E_ABSENT,
                        "no time zone `%.60s`: a name of %s, or an offset as "
                        "+02:00",
                        name, FOLDER);
    }
    return 0;
}

int32_t flo_zone_offset_s(const struct flo_zone *zone, uint64_t wall_ms)
{
    int64_t wall_s = (int64_t)(wall_ms / 1000);
    size_t low = 0;
    size_t high = zone->count;

    while (low < high) { /* finds how many changes were before that time */
        size_t middle = low + (high - low) / 2;
        if (zone->at_s[middle] <= wall_s) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == zone->count && zone->rule.is_there) {
        return rule_offset(&zone->rule, wall_s);
    }
    return low == 0 ? zone->offset_s[0] : zone->offset_s[zone->type[low - 1]];
}

/* ---- this machine ---- */

/* Reads the zone's name from /etc/localtime, a link into the folder of
 * zones. */
static bool link_name(char *out)
{
    char target[PATH_MAX];
    ssize_t chars = readlink("/etc/localtime", target, sizeof(target) - 1);
    static const char folder[] = "/zoneinfo/";

    if (chars <= 0) {
        return false;
    }
    target[chars] = '\0';
    const char *at = strstr(target, folder);
    at = at != NULL ? at + sizeof(folder) - 1 : "";
    if (!is_name(at)) {
        return false;
    }
    snprintf(out, FLO_ZONE_TEXT, "%s", at);
    return true;
}

void flo_zone_of_system(char *out)
{
    time_t now = time(NULL);
    struct tm local;

    if (getenv("TZ") == NULL && link_name(out)) {
        return;
    }
    if (localtime_r(&now, &local) == NULL) {
        snprintf(out, FLO_ZONE_TEXT, "UTC");
        return;
    }
    flo_zone_offset_text((int32_t)local.tm_gmtoff, out);
}
