/* Pins: checks the facts in a fixed order; the first one that decides gives the
 * state. */
#include <assert.h>

#include "server-stub/core/member/pin.h"

const char *flo_pin_word(enum flo_pin_state state)
{
    static const char *const words[] = {"there", "on-its-way", "refused"};

    assert(state < FLO_PIN_COUNT);
    return words[state];
}

static const char *wait_of(const struct flo_pin_facts *facts)
{
    return facts->step != NULL ? facts->step
           : !facts->is_online ? "the device is offline"
           : facts->is_frozen  ? "the device is frozen"
           : facts->is_ordered ? "the device has the order"
                               : "another order holds on the device";
}

enum flo_pin_state flo_pin_judge(const struct flo_pin_facts *facts, const char **why)
{
    assert(why != NULL);
    *why = "";
    if (facts->is_current) {
        return FLO_PIN_THERE;
    }
    if (facts->is_yanked) {
        *why = "the release was withdrawn";
        return FLO_PIN_REFUSED;
    }
    if (facts->is_refused && facts->step == NULL) {
        *why = facts->refusal != NULL ? facts->refusal : "it gave no reason";
        return FLO_PIN_REFUSED;
    }
    *why = wait_of(facts);
    return FLO_PIN_ON_ITS_WAY;
}
