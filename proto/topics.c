/* MQTT topics: builds and parses them, from proto/topics.def. */
#include <stdio.h>
#include <string.h>

#include <flotilla/errors/mqtt.h>
#include <flotilla/proto.h>

#define CONTROLLER 0
#define DEVICE 1
static const struct flo_topic_fact topics[] = {
#define FLO_TOPIC(name, path, writer, retained, qos, meaning)                                      \
    {path, writer, retained, qos, meaning},
#include "proto/topics.def"
#undef FLO_TOPIC
};
#undef CONTROLLER
#undef DEVICE

const struct flo_topic_fact *flo_topic_fact(enum flo_topic topic)
{
    return &topics[topic];
}

/* Splits a path at its {d} or {g}.  Returns the length before that part, and
 * sets *after to the rest, or to NULL when the path has no such part. */
static size_t path_split(const char *path, const char **after)
{
    const char *brace = strchr(path, '{');
    *after = brace != NULL ? brace + 3 : NULL;
    return brace != NULL ? (size_t)(brace - path) : strlen(path);
}

static int check_fleet(const char *fleet, struct flo_err *err)
{
    return flo_name_is_valid(fleet)
               ? 0
               : flo_fail(err, FLO_E_MQTT_TOPIC, "fleet name `%s` is not allowed", fleet);
}

int flo_topic_build(enum flo_topic topic, const char *fleet, const char *key, char *out,
                    struct flo_err *err)
{
    const char *after;
    size_t before = path_split(topics[topic].path, &after);

    FLO_TRY(check_fleet(fleet, err));
    if (after != NULL && strcmp(key, "+") != 0 && !flo_name_is_valid(key)) {
        return flo_fail(err, FLO_E_MQTT_TOPIC, "device or group `%s` is not allowed in a topic",
                        key);
    }
    snprintf(out, FLO_TOPIC_TEXT, "flotilla/v1/%s/%.*s%s%s", fleet, (int)before, topics[topic].path,
             after != NULL ? key : "", after != NULL ? after : "");
    return 0;
}

int flo_topic_common(const char *fleet, char *out, struct flo_err *err)
{
    FLO_TRY(check_fleet(fleet, err));
    snprintf(out, FLO_TOPIC_TEXT, "flotilla/v1/%s/c/+", fleet);
    return 0;
}

/* Tells whether `rest` has the form of `path`, in which {d} or {g} stands for a
 * valid name.  Copies this name to `key`. */
static bool path_matches(const char *path, const char *rest, char *key)
{
    const char *after;
    size_t before = path_split(path, &after);

    if (strncmp(path, rest, before) != 0) {
        return false;
    }
    if (after == NULL) {
        key[0] = '\0';
        return rest[before] == '\0';
    }
    const char *begin = rest + before;
    size_t chars = strcspn(begin, "/");
    if (chars > FLO_NAME_MAX || strcmp(begin + chars, after) != 0) {
        return false;
    }
    memcpy(key, begin, chars);
    key[chars] = '\0';
    return flo_name_is_valid(key);
}

int flo_topic_parse(const char *text, const char *fleet, enum flo_topic *topic, char *key,
                    struct flo_err *err)
{
    static const char prefix[] = "flotilla/v1/";
    size_t fleet_chars = strlen(fleet);
    char found[FLO_NAME_MAX + 1];

    if (strlen(text) < FLO_TOPIC_TEXT && strncmp(text, prefix, sizeof(prefix) - 1) == 0) {
        const char *rest = text + sizeof(prefix) - 1;
        if (strncmp(rest, fleet, fleet_chars) == 0 && rest[fleet_chars] == '/') {
            rest += fleet_chars + 1;
            for (size_t i = 0; i < FLO_COUNT(topics); i++) {
                if (path_matches(topics[i].path, rest, found)) {
                    *topic = (enum flo_topic)i;
                    memcpy(key, found, sizeof(found));
                    return 0;
                }
            }
        }
    }
    return flo_fail(err, FLO_E_MQTT_TOPIC, "topic `%.80s` is none of fleet %s", text, fleet);
}
