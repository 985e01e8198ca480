/* Routes stand-in: refuses endpoints and routes, in a build without them. */
#include "agent/serve/rules/rules.h"
#include "base/left_out.h"

int flo_endpoint_rules_read(const struct flo_api_rules_maps *maps, struct flo_api_rules *out,
                            struct flo_err *err)
{
    (void)out;
    return json_object_size(maps->endpoints) == 0
               ? 0
               : flo_left_out(err, "endpoints", "FLOTILLA_ROUTES");
}

int flo_route_rules_read(const json_t *routes, struct flo_api_rules *out, struct flo_err *err)
{
    (void)out;
    return json_object_size(routes) == 0 ? 0 : flo_left_out(err, "routes", "FLOTILLA_ROUTES");
}

void flo_api_rules_leave(const struct flo_api_rules *rules, char *out, size_t bytes)
{
    (void)rules, (void)bytes;
    out[0] = '\0';
}
