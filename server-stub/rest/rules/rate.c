/* REST: rate limits of a token, with headers
 * (draft-ietf-httpapi-ratelimit-headers).  Requests without a valid token have
 * no limit here, because they end at the token check. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/plural.h>

#include "base/digits.h"

#include "server-stub/core/request/rate.h"
#include "server-stub/rest/rest.h"

#define SECOND_MS 1000

static uint64_t seconds_up(uint64_t ms)
{
    return (ms + SECOND_MS - 1) / SECOND_MS;
}

int flo_rest_rate_open(struct flo_rest *rest, struct flo_err *err)
{
    rest->rates = calloc(1, sizeof(*rest->rates));
    return rest->rates != NULL ? 0 : flo_fail(err, FLO_E_MEMORY, "rates");
}

void flo_rest_rate_close(struct flo_rest *rest)
{
    free(rest->rates);
    rest->rates = NULL;
}

/* Appends a text to a header.  Every call has these headers, so they are built
 * by hand: printf would take a tenth of a short call. */
static char *put_text(char *at, const char *text)
{
    size_t chars = strlen(text);

    memcpy(at, text, chars + 1);
    return at + chars;
}

static char *put_number(char *at, uint64_t number)
{
    at = flo_digits(at, number);
    *at = '\0';
    return at;
}

/* "default";r=59999;t=1 */
static void tell(struct flo_rest_call *call, const char *header, const char *word,
                 const char *first_name, uint64_t first, const char *second_name, uint64_t second)
{
    char text[96];
    char *at = put_text(text, "\"");

    at = put_text(at, word);
    at = put_number(put_text(at, first_name), first);
    (void)put_number(put_text(at, second_name), second);
    flo_httpd_add_header(call->request, header, text);
}

int flo_rest_rate_take(struct flo_rest_call *call, enum flo_rate_kind kind, struct flo_err *err)
{
    const struct flo_rate_policy *policy = &flo_rate_policies[kind];

    if (call->token_id[0] == '\0' || call->rest->rates == NULL) {
        return 0;
    }
    struct flo_rate_answer answer =
        flo_rate_take(call->rest->rates, kind, call->token_id, flo_now_ms());
    tell(call, "RateLimit-Policy", policy->word, "\";q=", policy->quota,
         ";w=", seconds_up(policy->fill_ms));
    tell(call, "RateLimit", policy->word, "\";r=", answer.left, ";t=", seconds_up(answer.full_ms));
    if (answer.may) {
        return 0;
    }
    flo_fail(err, FLO_E_REST_LIMIT,
             "token %s made %llu request%s within %llu s; a %s one is possible "
             "in %llu ms",
             call->token_id, (unsigned long long)policy->quota, flo_s(policy->quota),
             (unsigned long long)seconds_up(policy->fill_ms), policy->word,
             (unsigned long long)answer.wait_ms);
    return flo_err_fix(err, "ask less often, or follow /v1/events");
}
