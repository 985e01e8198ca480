/* Proof of a message: makes, finds and checks the code. */
#include "proto/proof.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/host/digest.h"

#define MEMBER ",\"proof\":\""
#define END "\"}"
#define NUMBER_CHARS 14
#define CODE_BYTES (FLO_DIGEST_BYTES / 2)
/* Characters of both key ids and the number, each followed by a dot. */
#define HEAD_CHARS (FLO_PROOF_CONTROLLER_TEXT + FLO_PROOF_DEVICE_TEXT + NUMBER_CHARS + 1)

_Static_assert(sizeof(MEMBER) - 1 + HEAD_CHARS + 2 * CODE_BYTES + 1 == FLO_PROOF_BYTES,
               "a proof takes the place of the last brace");

/* ---- keys ---- */

static int make_key(const struct flo_key *mine, const struct flo_public_key *other,
                    const struct flo_public_key *controller, const struct flo_public_key *device,
                    struct flo_proof_key *out, struct flo_err *err)
{
    char info[2 * FLO_KEYID_TEXT + 32];

    snprintf(info, sizeof(info), "flotilla proof 1 %s %s", controller->keyid, device->keyid);
    snprintf(out->controller, sizeof(out->controller), "%.8s", controller->keyid);
    snprintf(out->device, sizeof(out->device), "%.16s", device->keyid);
    return flo_key_agree(mine, other, info, out->secret, err);
}

int flo_proof_key_device(const struct flo_key *device, const struct flo_public_key *controller,
                         struct flo_proof_key *out, struct flo_err *err)
{
    return make_key(device, controller, controller, flo_key_public(device), out, err);
}

int flo_proof_key_controller(const struct flo_key *controller, const struct flo_public_key *device,
                             struct flo_proof_key *out, struct flo_err *err)
{
    return make_key(controller, device, flo_key_public(controller), device, out, err);
}

/* ---- codes ---- */

static void head_of(const struct flo_proof_key *key, uint64_t number, char *out)
{
    snprintf(out, HEAD_CHARS + 1, "%s.%s.%014llx.", key->controller, key->device,
             (unsigned long long)(number & FLO_PROOF_NUMBER_MAX));
}

static void code_of(const struct flo_proof_key *key, const char *topic, const char *head,
                    const char *message, size_t before, uint8_t *out)
{
    const struct flo_hmac_piece pieces[] = {
        {topic, strlen(topic)}, {"\n", 1}, {head, strlen(head)}, {"\n", 1}, {message, before}};
    struct flo_digest digest;

    flo_hmac_sha256(key->secret, sizeof(key->secret), pieces, FLO_COUNT(pieces), &digest);
    memcpy(out, digest.bytes, CODE_BYTES);
}

void flo_proof_add(const struct flo_proof_key *key, const char *topic, uint64_t number,
                   const char *message, size_t bytes, struct flo_buf *out)
{
    size_t before = bytes > 0 && message[bytes - 1] == '}' ? bytes - 1 : bytes;
    char head[HEAD_CHARS + 1];
    uint8_t code[CODE_BYTES];
    char hex[2 * CODE_BYTES + 1];

    head_of(key, number, head);
    code_of(key, topic, head, message, before, code);
    flo_hex_encode(code, sizeof(code), hex);
    flo_buf_add(out, message, before);
    flo_buf_printf(out, MEMBER "%s%s" END, head, hex);
}

/* Copies `chars` lower-case hex digits from *at, and moves *at behind the
 * character `end` that follows them.  Returns false for any other text. */
static bool take(const char **at, size_t chars, char end, char *out)
{
    memcpy(out, *at, chars);
    out[chars] = '\0';
    *at += chars + 1;
    return (*at)[-1] == end && strspn(out, "0123456789abcdef") == chars;
}

bool flo_proof_find(const char *message, size_t bytes, struct flo_proof *out)
{
    char number[NUMBER_CHARS + 1];
    char code[2 * CODE_BYTES + 1];

    if (bytes <= FLO_PROOF_BYTES || message[bytes - 1] != '}') {
        return false;
    }
    out->before = bytes - FLO_PROOF_BYTES - 1;
    const char *at = message + out->before;
    if (memcmp(at, MEMBER, sizeof(MEMBER) - 1) != 0) {
        return false;
    }
    at += sizeof(MEMBER) - 1;
    if (!take(&at, FLO_PROOF_CONTROLLER_TEXT - 1, '.', out->controller) ||
        !take(&at, FLO_PROOF_DEVICE_TEXT - 1, '.', out->device) ||
        !take(&at, NUMBER_CHARS, '.', number) || !take(&at, sizeof(code) - 1, '"', code)) {
        return false;
    }
    out->number = strtoull(number, NULL, 16);
    return flo_hex_decode(code, out->code, sizeof(out->code));
}

bool flo_proof_holds(const struct flo_proof *proof, const struct flo_proof_key *key,
                     const char *topic, const char *message)
{
    char head[HEAD_CHARS + 1];
    uint8_t code[CODE_BYTES];

    if (strcmp(proof->controller, key->controller) != 0 ||
        strcmp(proof->device, key->device) != 0) {
        return false;
    }
    head_of(key, proof->number, head);
    code_of(key, topic, head, message, proof->before, code);
    return flo_secret_equal(code, proof->code, sizeof(code));
}
