/* Grants: parses them, and checks which role each one permits. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "server-stub/core/access/grants.h"

static const char *const words[] = {"none", "viewer", "operator", "releaser", "admin", "auditor"};

const char *flo_access_word(enum flo_access access)
{
    assert(access <= FLO_ACCESS_AUDITOR);
    return words[access];
}

static bool role_parse(const char *word, size_t chars, enum flo_access *out)
{
    for (size_t i = FLO_ACCESS_VIEWER; i < FLO_COUNT(words); i++) {
        if (strlen(words[i]) == chars && memcmp(words[i], word, chars) == 0) {
            *out = (enum flo_access)i;
            return true;
        }
    }
    return false;
}

static bool grant_parse(const char *text, size_t chars, struct flo_grant *out)
{
    const char *colon = memchr(text, ':', chars);
    size_t role_chars = colon != NULL ? (size_t)(colon - text) : chars;

    *out = (struct flo_grant){.role = FLO_ACCESS_NONE};
    if (!role_parse(text, role_chars, &out->role)) {
        return false;
    }
    if (colon == NULL) {
        return true;
    }
    size_t group_chars = chars - role_chars - 1;
    if (group_chars > FLO_NAME_MAX) {
        return false;
    }
    memcpy(out->group, colon + 1, group_chars);
    if (strcmp(out->group, "all") == 0) { /* the group "all" has every device */
        out->group[0] = '\0';
        return true;
    }
    return flo_name_is_valid(out->group) &&
           (out->role == FLO_ACCESS_VIEWER || out->role == FLO_ACCESS_OPERATOR);
}

bool flo_grants_parse(const char *text, struct flo_grants *out)
{
    *out = (struct flo_grants){0};
    for (;;) {
        size_t chars = strcspn(text, ",");
        if (out->count == FLO_GRANTS_MAX || !grant_parse(text, chars, &out->items[out->count])) {
            return false;
        }
        out->count++;
        if (text[chars] == '\0') {
            return true;
        }
        text += chars + 1;
    }
}

static bool role_holds(enum flo_access has, enum flo_access needs)
{
    if (needs == FLO_ACCESS_AUDITOR) {
        return has == FLO_ACCESS_AUDITOR || has == FLO_ACCESS_ADMIN;
    }
    return has == FLO_ACCESS_AUDITOR ? needs <= FLO_ACCESS_VIEWER : has >= needs;
}

bool flo_grants_hold_group(const struct flo_grants *grants, enum flo_access needs,
                           const char *group)
{
    for (size_t i = 0; i < grants->count; i++) {
        const struct flo_grant *grant = &grants->items[i];
        if (role_holds(grant->role, needs) &&
            (grant->group[0] == '\0' || strcmp(grant->group, group) == 0)) {
            return true;
        }
    }
    return false;
}

bool flo_grants_hold(const struct flo_grants *grants, enum flo_access needs)
{
    return flo_grants_hold_group(grants, needs, "");
}

bool flo_grants_hold_somewhere(const struct flo_grants *grants, enum flo_access needs)
{
    for (size_t i = 0; i < grants->count; i++) {
        if (role_holds(grants->items[i].role, needs)) {
            return true;
        }
    }
    return false;
}

bool flo_grants_include(const struct flo_grants *more, const struct flo_grants *less)
{
    for (size_t i = 0; i < less->count; i++) {
        const struct flo_grant *grant = &less->items[i];
        if (!flo_grants_hold_group(more, grant->role, grant->group)) {
            return false;
        }
    }
    return true;
}
