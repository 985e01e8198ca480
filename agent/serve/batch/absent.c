/* Batch stand-in: takes the place of batches in a build without them.  Their
 * paths answer not.built. */
#include "agent/serve/batch/batch.h"
#include "base/host/httpd.h"
#include "base/left_out.h"

#define PART "batches"
#define OPTION "FLOTILLA_BATCHES"

static void on_call(void *context, struct flo_httpd_request *http)
{
    struct flo_err err = {0};

    (void)context;
    (void)flo_left_out(&err, PART, OPTION);
    flo_httpd_answer_err(http, &err);
}

int flo_batch_open(struct flo_serve *serve, const struct flo_serve_options *options,
                   struct flo_party (*who_asks)(struct flo_serve *serve,
                                                const struct flo_httpd_request *http),
                   const struct serve_front *(*front_of)(const char *path), struct flo_err *err)
{
    static const char *const paths[][2] = {
        {"GET", "/v1/files"},    {"GET", "/v1/files/{id}"},    {"POST", "/v1/files"},
        {"GET", "/v1/batches"},  {"GET", "/v1/batches/{id}"},  {"GET", "/v1/files/{id}/content"},
        {"POST", "/v1/batches"}, {"DELETE", "/v1/files/{id}"}, {"POST", "/v1/batches/{id}/cancel"},
    };
    int rv = 0;

    (void)who_asks, (void)front_of;
    if (options->batch_folder != NULL && !options->batch_may_fail) {
        return flo_left_out(err, PART, OPTION);
    }
    for (size_t i = 0; rv == 0 && i < FLO_COUNT(paths); i++) {
        rv = flo_httpd_route(serve->httpd, paths[i][0], paths[i][1], 65536, on_call, serve, err);
    }
    return rv;
}

void flo_batch_stop(struct serve_batch *batch)
{
    (void)batch;
}

void flo_batch_close(struct serve_batch *batch)
{
    (void)batch;
}
