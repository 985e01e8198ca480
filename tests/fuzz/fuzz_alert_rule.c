/* An alert rule of a person, and labels of samples. */
#include <string.h>

#include "server-stub/core/alert/alert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *json = NULL;
    struct flo_alert_rule rule;
    struct flo_err err = {0};
    char labels[256];
    char by[FLO_ALERT_SERIES];
    size_t bytes = size < sizeof(labels) - 1 ? size : sizeof(labels) - 1;

    memcpy(labels, data, bytes);
    labels[bytes] = '\0';
    if (flo_json_parse((const char *)data, size, 8192, &json, &err) == 0 &&
        flo_alert_rule_parse("r", json, &rule, &err) == 0) {
        (void)flo_alert_rule_takes(&rule, "state=\"halted\",rollout=\"r\"", by);
        (void)flo_alert_rule_takes(&rule, labels, by);
    }
    memset(&rule, 0, sizeof(rule));
    snprintf(rule.by, sizeof(rule.by), "state");
    rule.label_count = 1;
    snprintf(rule.labels[0].name, sizeof(rule.labels[0].name), "a");
    (void)flo_alert_rule_takes(&rule, labels, by);
    return 0;
}
