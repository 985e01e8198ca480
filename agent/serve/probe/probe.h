/* Probe: starts and ends the probe of a candidate; see flo_serve_probe(). */
#ifndef FLOTILLA_SERVE_PROBE_H
#define FLOTILLA_SERVE_PROBE_H

#include "agent/serve/state.h"

/* Ends the probe without calling `done`. */
void flo_probe_close(struct probe *probe);
/* Is the probe for this model's candidate?  A NULL probe is for none. */
bool flo_probe_is_of(const struct probe *probe, const struct serve_place *place);

#endif
