/* The wave of evidence that was made by hand: all of its updated devices. */
#ifndef FLOTILLA_TESTS_ANALYSIS_WAVES_H
#define FLOTILLA_TESTS_ANALYSIS_WAVES_H

#include <string.h>

#include "server-stub/core/gate/analysis/analysis.h"

static void set_wave(struct flo_analysis_evidence *evidence, uint16_t excluded)
{
    memset(evidence->wave, 0, sizeof(evidence->wave));
    for (int i = 0; i < FLO_MEASURE_COUNT; i++) {
        int reading = flo_measure_fact((enum flo_measure)i)->reading;
        for (uint32_t s = 0; s < evidence->segment_count && reading >= 0; s++) {
            if ((excluded >> s & 1) == 0) {
                (void)flo_pooled_add(&evidence->wave[reading],
                                     &evidence->segments[s].arms[i].ratio);
            }
        }
    }
}

#endif
