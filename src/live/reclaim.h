/*
 * reclaim.h: unmap the memory of patches that are reverted, where nothing in the process can refer to it any more.
 *
 * Behind a transition, and in stops of all threads of its own: the transition takes no longer for it. Proven is that no register, no memory and
 * nothing that the kernel holds can lead there (references.h, held.h). Without a proof the memory stays, with the reason in the report, and
 * whoever comes next tries again.
 */
#ifndef STENT_LIVE_RECLAIM_H
#define STENT_LIVE_RECLAIM_H

#include "live/live.h"

/* All reverted patches of the process, those that are to be unmapped in any case (PREPARED), and the stubs of killed stents. Whatever comes of it is in
 * report->unmapped, reclaiming and kept. */
void reclaim(const struct process *process, const struct live_options *options, struct live_report *report);

#endif
