/* WAV files: the little that everybody must know of them. */
#ifndef FLOTILLA_BASE_WAV_H
#define FLOTILLA_BASE_WAV_H

#include <flotilla/base.h>

/* Is it a RIFF file of kind WAVE with samples (PCM or float) in it? */
bool flo_wav_is(const void *data, size_t bytes);

#endif
