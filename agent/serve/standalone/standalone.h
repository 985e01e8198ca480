/* The local API alone: one model, no controller. */
#ifndef FLOTILLA_SERVE_STANDALONE_H
#define FLOTILLA_SERVE_STANDALONE_H

/* `flotilla-agent serve --model M --listen ADDR... [--token-file F]
 * [--lora NAME=FILE] [--lora-dir DIR] [--lora-room MIB]
 * [--prefix-cache DIR] [--context N] [--threads N]`: load, serve until SIGINT
 * or SIGTERM; an engine that dies is started again, with the adapters it had.
 * SIGHUP: look at the adapters' files again, load and drop what changed.
 * Returns an exit code. */
int flo_serve_standalone(int argc, char **argv);

#endif
