/* The address that a browser brings back to `flotilla login`. */
#include <string.h>

#include "server-stub/cli/people/callback.h"
#include "tests/fuzz/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static char text[FLO_CALLBACK_HEAD_MAX];
    struct flo_callback back = {.code = ""};

    if (bytes >= sizeof(text)) {
        return 0;
    }
    memcpy(text, data, bytes);
    text[bytes] = '\0';
    if (flo_callback_read(text, &back)) {
        must(back.state[0] != '\0');
        must((back.code[0] != '\0') != (back.error[0] != '\0'));
        must(strlen(back.code) < sizeof(back.code));
        must(strpbrk(back.code, "\r\n") == NULL);
    }
    return 0;
}
