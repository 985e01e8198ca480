/* Values: parses the sizes and the rates of a specification. */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "server-stub/core/spec/spec.h"

/* Parses a number: digits and an optional fraction, without sign or
 * exponent. */
static bool number_parse(const char *text, double *out, const char **end)
{
    size_t digits = strspn(text, "0123456789");
    size_t chars = digits;

    if (digits == 0 || digits > 12) {
        return false;
    }
    if (text[chars] == '.') {
        size_t behind = strspn(text + chars + 1, "0123456789");
        if (behind == 0 || behind > 12) {
            return false;
        }
        chars += 1 + behind;
    }
    *out = strtod(text, NULL);
    *end = text + chars;
    return isfinite(*out);
}

bool flo_spec_size_parse(const char *text, struct flo_spec_size *out)
{
    const char *end;
    double value;

    if (!number_parse(text, &value, &end) || value <= 0) {
        return false;
    }
    end += *end == ' ' ? 1 : 0;
    if (strcmp(end, "%") == 0 && value <= 100) {
        *out = (struct flo_spec_size){.share_pct = value};
        return true;
    }
    if (*end == '\0' && value == floor(value) && value <= FLO_ROLLOUT_MEMBERS_MAX) {
        *out = (struct flo_spec_size){.devices = (uint32_t)value};
        return true;
    }
    return false;
}

bool flo_spec_rate_parse(const char *text, double *per_min)
{
    static const struct {
        const char *word;
        double per_min;
    } units[] = {{"/s", 60}, {"/min", 1}, {"/h", 1 / 60.0}};
    const char *end;
    double value;

    if (!number_parse(text, &value, &end)) {
        return false;
    }
    end += *end == ' ' ? 1 : 0;
    for (size_t i = 0; i < FLO_COUNT(units); i++) {
        if (strcmp(end, units[i].word) == 0) {
            *per_min = value * units[i].per_min;
            return true;
        }
    }
    return false;
}
