/* Sandbox kit, mode: whether a sandbox is required, and whether this build
 * supports one. */
#include "base/sandbox.h"

#include <string.h>

#include <flotilla/errors/sandbox.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                         \
    __has_feature(memory_sanitizer)
#define IS_SANITIZER 1
#endif
#endif
#ifndef IS_SANITIZER
#define IS_SANITIZER 0
#endif

static const char *const mode_words[] = {"required", "preferred"};

bool flo_sandbox_mode_parse(const char *word, enum flo_sandbox_mode *out)
{
    for (size_t i = 0; i < FLO_COUNT(mode_words); i++) {
        if (strcmp(word, mode_words[i]) == 0) {
            *out = (enum flo_sandbox_mode)i;
            return true;
        }
    }
    return false;
}

const char *flo_sandbox_mode_word(enum flo_sandbox_mode mode)
{
    return mode_words[mode];
}

bool flo_sandbox_is_built(void)
{
    return !IS_SANITIZER;
}

int flo_sandbox_miss(enum flo_sandbox_mode mode, const char *part, struct flo_err *err)
{
    if (!flo_sandbox_is_built()) {
        return 0;
    }
    if (mode == FLO_SANDBOX_PREFERRED) {
        flo_log(FLO_LOG_WARN, "sandbox", "this kernel has no %s; the process works without it",
                part);
        return 0;
    }
    return flo_fail(err, FLO_E_SANDBOX, "this kernel has no %s", part);
}
