/* The local API alone: one model, no controller. */
#ifndef FLOTILLA_SERVE_STANDALONE_H
#define FLOTILLA_SERVE_STANDALONE_H

/* `flotilla-agent serve --model M --listen ADDR... [--token-file F]
 * [--lora NAME=FILE] [--context N] [--threads N]`: load, serve until SIGINT or
 * SIGTERM; an engine that dies is started again.  Returns an exit code. */
int flo_serve_standalone(int argc, char **argv);

#endif
