/* Outbox: decides which stored event is sent next.
 *
 * Events are numbered without gaps and sent in order.  At most
 * FLO_OUTBOX_WINDOW of them are unacknowledged.  After a new connection, or
 * FLO_OUTBOX_RESEND_MS without an ack, sending begins again after the last
 * acknowledged event.  The broker may have lost messages that it confirmed. */
#include <assert.h>

#include <flotilla/agent.h>

void flo_outbox_connected(struct flo_outbox *outbox, uint64_t now_ms)
{
    outbox->is_connected = true;
    outbox->sent = outbox->acked;
    outbox->sent_ms = now_ms;
    outbox->wait_ms = 0;
}

void flo_outbox_wait(struct flo_outbox *outbox, uint64_t until_ms)
{
    outbox->wait_ms = until_ms;
}

void flo_outbox_disconnected(struct flo_outbox *outbox)
{
    outbox->is_connected = false;
}

void flo_outbox_stored(struct flo_outbox *outbox, uint64_t sequence)
{
    if (sequence > outbox->last) {
        outbox->last = sequence;
    }
}

bool flo_outbox_acked(struct flo_outbox *outbox, uint64_t sequence)
{
    if (sequence <= outbox->acked || sequence > outbox->last) {
        return false;
    }
    outbox->acked = sequence;
    if (outbox->sent < sequence) {
        outbox->sent = sequence;
    }
    return true;
}

uint64_t flo_outbox_next(struct flo_outbox *outbox, uint64_t now_ms)
{
    assert(!outbox->is_connected || outbox->sent >= outbox->acked);
    if (!outbox->is_connected || now_ms < outbox->wait_ms) {
        return 0;
    }
    if (outbox->sent > outbox->acked && now_ms >= outbox->sent_ms + FLO_OUTBOX_RESEND_MS) {
        outbox->sent = outbox->acked;
    }
    if (outbox->sent >= outbox->last || outbox->sent - outbox->acked >= FLO_OUTBOX_WINDOW) {
        return 0;
    }
    return outbox->sent + 1;
}

void flo_outbox_sent(struct flo_outbox *outbox, uint64_t sequence, uint64_t now_ms)
{
    assert(outbox->is_connected);
    if (sequence == outbox->sent + 1) {
        outbox->sent = sequence;
        outbox->sent_ms = now_ms;
    }
}
