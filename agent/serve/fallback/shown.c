/* Shown: numbers of routes in Prometheus' text format.  They have no words of
 * requests. */
#include "agent/serve/fallback/endpoint.h"

#include <string.h>

#include "agent/serve/apart/apart.h"

static void add_head(struct flo_buf *out, const char *name, const char *type, const char *help)
{
    flo_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void add_requests(const struct fallbacks *fallbacks, bool failed, struct flo_buf *out)
{
    const char *name =
        failed ? "flotilla_route_requests_failed_total" : "flotilla_route_requests_total";

    add_head(out, name, "counter",
             failed ? "requests of a route that its target did not answer"
                    : "requests of a route that ended, by the target that ended them");
    for (uint32_t i = 0; i < fallbacks->count; i++) {
        const struct fallback *route = &fallbacks->all[i];
        flo_buf_printf(out, "%s{route=\"%s\",target=\"\",reason=\"\"} %llu\n", name, route->is.name,
                       (unsigned long long)(failed ? route->home_failed : route->at_home));
        for (uint32_t t = 0; t < route->is.n_to; t++) {
            for (int reason = 0; reason < FLO_FALLBACK_REASONS; reason++) {
                uint64_t count =
                    failed ? route->counts[t][reason].failed : route->counts[t][reason].requests;
                if (count > 0) {
                    flo_buf_printf(out, "%s{route=\"%s\",target=\"%s\",reason=\"%s\"} %llu\n", name,
                                   route->is.name, route->is.to[t],
                                   flo_fallback_word((enum flo_fallback_reason)reason),
                                   (unsigned long long)count);
                }
            }
        }
    }
}

/* Writes for each endpoint whether requests may be sent to it. */
static void add_endpoints(const struct fallbacks *fallbacks, struct flo_buf *out)
{
    const char *name = "flotilla_endpoint_ready";

    add_head(out, name, "gauge", "whether requests may be sent to an endpoint now");
    for (uint32_t i = 0; i < fallbacks->n_endpoints; i++) {
        const struct endpoint *endpoint = &fallbacks->endpoints[i];
        flo_buf_printf(out, "%s{endpoint=\"%s\"} %d\n", name, endpoint->is.name,
                       flo_endpoint_is_ready(endpoint));
    }
}

void flo_fallbacks_metrics(const struct flo_serve *serve, struct flo_buf *out)
{
    const struct fallbacks *fallbacks = serve->fallbacks;

    if (fallbacks == NULL) {
        return;
    }
    add_requests(fallbacks, false, out);
    add_requests(fallbacks, true, out);
    add_endpoints(fallbacks, out);
    add_head(out, "flotilla_route_refused_total", "counter",
             "times that a request had a reason to leave its model and found no target");
    for (uint32_t i = 0; i < fallbacks->count; i++) {
        flo_buf_printf(out, "flotilla_route_refused_total{route=\"%s\"} %llu\n",
                       fallbacks->all[i].is.name, (unsigned long long)fallbacks->all[i].refused);
    }
    add_head(out, "flotilla_route_tokens_today", "gauge",
             "tokens that endpoints got of a route today (UTC), with claims under way");
    for (uint32_t i = 0; i < fallbacks->count; i++) {
        flo_buf_printf(out, "flotilla_route_tokens_today{route=\"%s\"} %llu\n",
                       fallbacks->all[i].is.name,
                       (unsigned long long)fallbacks->all[i].spend.used.tokens);
    }
    add_head(out, "flotilla_route_money_today", "gauge",
             "money that endpoints cost for a route today (UTC), with claims under way");
    for (uint32_t i = 0; i < fallbacks->count; i++) {
        flo_buf_printf(out, "flotilla_route_money_today{route=\"%s\"} %.6f\n",
                       fallbacks->all[i].is.name, (double)fallbacks->all[i].spend.used.cost / 1e12);
    }
}

uint32_t flo_serve_get_endpoints(const struct flo_serve *serve,
                                 struct flo_serve_endpoint_status out[FLO_SERVE_ENDPOINTS_MAX])
{
    FLO_INSIDE(serve);
    const struct fallbacks *fallbacks = serve->fallbacks;
    uint32_t count = fallbacks == NULL ? 0 : fallbacks->n_endpoints;

    for (uint32_t i = 0; i < count; i++) {
        const struct endpoint *endpoint = &fallbacks->endpoints[i];
        strcpy(out[i].name, endpoint->is.name);
        out[i].kind = endpoint->is.kind;
        out[i].is_ready = flo_endpoint_is_ready(endpoint);
    }
    return count;
}
