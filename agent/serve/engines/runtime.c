/* Runtime: asks the process `flotilla-engine proxy` about the memory of the
 * foreign runtime that it runs.  The runtime's processes are children of the
 * proxy, so /proc of the proxy does not include their memory. */
#include "agent/serve/engines/engines.h"

void flo_serve_engine_take_stats(struct serve_engine *engine, const struct flo_wire_stats *stats)
{
    engine->has_stats = true;
    engine->rss_bytes = stats->rss_bytes;
    engine->rss_bytes_peak = stats->rss_bytes_peak;
}

bool flo_serve_engine_memory(const struct serve_engine *engine, uint64_t *rss, uint64_t *peak)
{
    if (engine->runtime[0] == '\0') {
        return flo_process_memory(engine->pid, rss, NULL, peak);
    }
    if (engine->rss_bytes_peak == 0) {
        return false;
    }
    if (rss != NULL) {
        *rss = engine->rss_bytes;
    }
    if (peak != NULL) {
        *peak = engine->rss_bytes_peak;
    }
    return true;
}
