/* `flotilla-agent serve` as a program of its own, for tests. */
#include "agent/serve/standalone.h"

int main(int argc, char **argv)
{
    return flo_serve_standalone(argc, argv);
}
