/* Licences of models: see license.h. */
#include "proto/license.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* A part of a text. */
struct part {
    const char *text;
    size_t bytes;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static struct part trim(struct part part)
{
    while (part.bytes > 0 && is_blank(part.text[0])) {
        part.text++;
        part.bytes--;
    }
    while (part.bytes > 0 && is_blank(part.text[part.bytes - 1])) {
        part.bytes--;
    }
    return part;
}

/* Splits `rest` at the next separator, in any letter case, and returns what
 * stands before it. */
static struct part next_part(struct part *rest, const char *separator)
{
    size_t length = strlen(separator);
    struct part found = *rest;

    for (size_t i = 0; i + length <= rest->bytes; i++) {
        if (strncasecmp(rest->text + i, separator, length) == 0) {
            found.bytes = i;
            rest->text += i + length;
            rest->bytes -= i + length;
            return trim(found);
        }
    }
    rest->text += rest->bytes;
    rest->bytes = 0;
    return trim(found);
}

static bool is_listed(const char *list, struct part id)
{
    struct part rest = {list, strlen(list)};

    while (rest.bytes > 0) {
        struct part one = next_part(&rest, ",");
        if (one.bytes > 0 && one.bytes == id.bytes &&
            strncasecmp(one.text, id.text, id.bytes) == 0) {
            return true;
        }
    }
    return false;
}

/* Tells whether all ids of `A AND B` are listed; *missing is the first that is
 * not. */
static bool are_listed(const char *list, struct part all, struct part *missing)
{
    do {
        struct part id = next_part(&all, " AND ");
        if (!is_listed(list, id)) {
            *missing = id;
            return false;
        }
    } while (all.bytes > 0);
    return true;
}

bool flo_license_is_allowed(const char *list, const char *license, char *refused, size_t bytes)
{
    struct part rest = {license, strlen(license)};
    struct part first = {"", 0};
    bool is_first = true;

    do {
        struct part missing;
        if (are_listed(list, next_part(&rest, " OR "), &missing)) {
            return true;
        }
        first = is_first ? missing : first;
        is_first = false;
    } while (rest.bytes > 0);
    (void)snprintf(refused, bytes, "%.*s", (int)first.bytes, first.text);
    return false;
}

bool flo_license_find(const char *text, char *out, size_t out_bytes)
{
    static const char key[] = "SPDX-License-Identifier:";
    const char *found = strstr(text, key);

    if (found == NULL) {
        return false;
    }
    found += sizeof(key) - 1;
    struct part id = trim((struct part){found, strcspn(found, "\n")});
    /* A comment may end on the same line. */
    while (id.bytes >= 2 && (memcmp(id.text + id.bytes - 2, "*/", 2) == 0 ||
                             memcmp(id.text + id.bytes - 2, "->", 2) == 0)) {
        id.bytes -= 2;
        id = trim(id);
    }
    if (id.bytes == 0 || id.bytes > FLO_LICENSE_BYTES_MAX || id.bytes >= out_bytes) {
        return false;
    }
    memcpy(out, id.text, id.bytes);
    out[id.bytes] = '\0';
    return true;
}
