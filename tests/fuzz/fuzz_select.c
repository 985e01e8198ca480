/* Selectors: any text is read within its bounds; one that was read gives an
 * answer for any device, and the same one again.
 *
 * Input: the text. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/rest.h>

#include "server-stub/core/select/select.h"
#include "tests/fuzz/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void ask(const struct flo_selector *selector)
{
    static const char *const list[] = {"a", "help@2", NULL};
    static const struct flo_select_label labels[] = {{"hw", "rpi5"}, {NULL, NULL}};
    struct flo_select_device empty;
    struct flo_select_device device;

    flo_select_device_init(&empty);
    flo_select_device_init(&device);
    device.values[FLO_SELECT_NAME].text = "gw-1";
    device.values[FLO_SELECT_GROUP].list = list;
    device.values[FLO_SELECT_RELEASE].list = list;
    device.values[FLO_SELECT_CORES].number = 4;
    device.values[FLO_SELECT_LAST_SEEN].at_ms = 1;
    device.labels = labels;
    must(flo_selector_matches(selector, &device, 1000) ==
         flo_selector_matches(selector, &device, 1000));
    (void)flo_selector_matches(selector, &empty, 0);
    (void)flo_selector_moving(selector);
    for (size_t i = 0; flo_selector_value(selector, FLO_SELECT_GROUP, i) != NULL; i++) {
        must(i < FLO_SELECTOR_VALUES_MAX);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static struct flo_selector selector;
    struct flo_select_name name;
    struct flo_err err = {0};
    char *text = malloc(bytes + 1);

    if (text == NULL) {
        return 0;
    }
    if (bytes > 0) {
        memcpy(text, data, bytes);
    }
    text[bytes] = '\0';
    if (flo_selector_parse(text, NULL, &selector, &err) == 0) {
        must(selector.term_count > 0);
        ask(&selector);
    } else {
        must(err.code == FLO_E_REST_SELECTOR);
    }
    (void)flo_select_name_parse(text, NULL, &name, &err);
    free(text);
    return 0;
}
