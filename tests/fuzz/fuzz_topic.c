/* Topics: what is taken apart is built again to the same text. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/proto.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    char text[512];
    char built[FLO_TOPIC_TEXT];
    char key[FLO_NAME_MAX + 1];
    enum flo_topic topic;

    if (bytes >= sizeof(text)) {
        return 0;
    }
    memcpy(text, data, bytes);
    text[bytes] = '\0';
    if (flo_topic_parse(text, "demo", &topic, key, NULL) == 0) {
        if (flo_topic_build(topic, "demo", key, built, NULL) < 0 || strcmp(built, text) != 0) {
            abort();
        }
    }
    return 0;
}
