/* Stand-in: converts bytes to the texts that represent them in a vocabulary,
 * and back. */
#include "engine/token/vocab/vocab.h"

#include <string.h>

uint32_t flo_byte_to_code(uint8_t byte)
{
    if ((byte >= 33 && byte <= 126) || (byte >= 161 && byte != 173)) {
        return byte;
    }
    /* bytes 0-32 become 256 and so on, 127-160 become 289 and so on, 173
     * becomes 323 */
    return byte <= 32 ? 256u + byte : byte == 173 ? 323 : 289u + byte - 127;
}

int flo_code_to_byte(uint32_t code)
{
    if (code < 256) {
        return flo_byte_to_code((uint8_t)code) == code ? (int)code : -1;
    }
    if (code <= 288) {
        return (int)code - 256;
    }
    return code <= 322 ? (int)code - 289 + 127 : code == 323 ? 173 : -1;
}

int flo_token_byte(const struct flo_vocab_token *token)
{
    uint8_t byte;
    char digits[3] = {0};
    if (token->bytes != 6 || memcmp(token->text, "<0x", 3) != 0 || token->text[5] != '>') {
        return -1;
    }
    for (int i = 0; i < 2; i++) {
        char c = token->text[3 + i];
        digits[i] = c >= 'A' && c <= 'F' ? (char)(c | 32) : c;
    }
    return flo_hex_decode(digits, &byte, 1) ? byte : -1;
}

bool flo_vocab_is_control(const struct flo_vocab *vocab, int32_t id)
{
    return id >= 0 && id < vocab->facts.count &&
           (vocab->tokens[id].type == FLO_TOKEN_CONTROL ||
            vocab->tokens[id].type == FLO_TOKEN_UNKNOWN);
}
