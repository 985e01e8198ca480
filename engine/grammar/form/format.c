/* Format: dates, times, addresses and names, as their standards write them. */
#include <string.h>

#include "engine/grammar/form/form.h"

enum { LABEL_BYTES_MAX = 63, OCTETS = 4 };

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* ---- dates and times (RFC 3339) ---- */

static bool take(const char **at, const char *end, const char *wanted)
{
    bool is_there = *at < end && strchr(wanted, **at) != NULL;

    *at += is_there;
    return is_there;
}

/* Reads a number of exactly so many digits, from least to most. */
static bool take_number(const char **at, const char *end, int digits, int least, int most, int *out)
{
    *out = 0;
    for (int i = 0; i < digits; i++, (*at)++) {
        if (*at == end || !is_digit(**at)) {
            return false;
        }
        *out = 10 * *out + (**at - '0');
    }
    return *out >= least && *out <= most;
}

static int days_of(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return days[month - 1] + (month == 2 && is_leap);
}

static bool take_date(const char **at, const char *end)
{
    int year, month, day;

    return take_number(at, end, 4, 0, 9999, &year) && take(at, end, "-") &&
           take_number(at, end, 2, 1, 12, &month) && take(at, end, "-") &&
           take_number(at, end, 2, 1, days_of(year, month), &day);
}

/* Reads the offset from UTC, which is Z or hours and minutes. */
static bool take_offset(const char **at, const char *end)
{
    int number;

    return take(at, end, "Zz") || (take(at, end, "+-") && take_number(at, end, 2, 0, 23, &number) &&
                                   take(at, end, ":") && take_number(at, end, 2, 0, 59, &number));
}

/* A minute may have a leap second. */
static bool take_time(const char **at, const char *end)
{
    int number;

    if (!take_number(at, end, 2, 0, 23, &number) || !take(at, end, ":") ||
        !take_number(at, end, 2, 0, 59, &number) || !take(at, end, ":") ||
        !take_number(at, end, 2, 0, 60, &number)) {
        return false;
    }
    if (take(at, end, ".")) {
        const char *from = *at;
        while (*at < end && is_digit(**at)) {
            (*at)++;
        }
        if (*at == from) {
            return false;
        }
    }
    return take_offset(at, end);
}

static bool is_date(const char *text, size_t bytes)
{
    const char *at = text, *end = text + bytes;

    return take_date(&at, end) && at == end;
}

static bool is_time(const char *text, size_t bytes)
{
    const char *at = text, *end = text + bytes;

    return take_time(&at, end) && at == end;
}

static bool is_date_time(const char *text, size_t bytes)
{
    const char *at = text, *end = text + bytes;

    return take_date(&at, end) && take(&at, end, "Tt") && take_time(&at, end) && at == end;
}

/* ---- addresses and names ---- */

static bool is_uuid(const char *text, size_t bytes)
{
    static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
    size_t i = 0;

    while (i < bytes && i < sizeof(form) - 1 &&
           (form[i] == 'x' ? is_hex(text[i]) : text[i] == '-')) {
        i++;
    }
    return i == bytes && bytes == sizeof(form) - 1;
}

static bool is_ipv4(const char *text, size_t bytes)
{
    const char *at = text, *end = text + bytes;

    for (int octet = 0; octet < OCTETS; octet++) {
        const char *from = at;
        int value = 0;
        for (; at < end && is_digit(*at) && at - from < 3; at++) {
            value = 10 * value + (*at - '0');
        }
        if (at == from || value > 255 || (at - from > 1 && *from == '0') ||
            (octet < OCTETS - 1 && !take(&at, end, "."))) {
            return false;
        }
    }
    return at == end;
}

/* Tells whether the text is a label of a host's name (RFC 1123). */
static bool is_label(const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        if (!is_letter(text[i]) && !is_digit(text[i]) && text[i] != '-') {
            return false;
        }
    }
    return bytes > 0 && bytes <= LABEL_BYTES_MAX && text[0] != '-' && text[bytes - 1] != '-';
}

/* Tells whether each part between two points is fine. */
static bool are_parts(const char *text, size_t bytes, bool (*is_part)(const char *, size_t))
{
    size_t from = 0;

    for (size_t i = 0; i <= bytes; i++) {
        if (i == bytes || text[i] == '.') {
            if (!is_part(text + from, i - from)) {
                return false;
            }
            from = i + 1;
        }
    }
    return true;
}

static bool is_hostname(const char *text, size_t bytes)
{
    return are_parts(text, bytes, is_label);
}

/* Tells whether the text is an atom of a mailbox (RFC 5322). */
static bool is_atom(const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        if (!is_letter(text[i]) && !is_digit(text[i]) &&
            strchr("!#$%&'*+-/=?^_`{|}~", text[i]) == NULL) {
            return false;
        }
    }
    return bytes > 0;
}

static bool is_email(const char *text, size_t bytes)
{
    const char *sign = memchr(text, '@', bytes);
    size_t local = sign == NULL ? 0 : (size_t)(sign - text);

    return sign != NULL && are_parts(text, local, is_atom) &&
           is_hostname(sign + 1, bytes - local - 1);
}

flo_form_format_fn *flo_form_format(const struct flo_tree_node *name)
{
    static const struct {
        const char *name;
        flo_form_format_fn *check;
    } formats[] = {
        {"date", is_date},   {"time", is_time}, {"date-time", is_date_time},
        {"uuid", is_uuid},   {"ipv4", is_ipv4}, {"hostname", is_hostname},
        {"email", is_email},
    };

    for (size_t i = 0; i < FLO_COUNT(formats); i++) {
        if (flo_tree_is(name, formats[i].name)) {
            return formats[i].check;
        }
    }
    return NULL;
}
