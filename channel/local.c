/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <errno.h>
#include <string.h>

#include <peal/local.h>

#include "../ring/floor.h"

static int make(struct peal_local *l, const struct peal_geometry *geometry)
{
	struct peal_geometry g = *geometry;
	int ret = peal_geometry_fit(&g, peal_mem_page(0));

	if (ret == 0)
		ret = peal_mem_create(&l->mem, g.name, g.items_offset,
				      peal_geometry_body(&g),
				      PEAL_MEM_TWICE | PEAL_MEM_PREFAULT);
	if (ret == 0)
		ret = peal_mem_seal(&l->mem);
	/* Linux before 5.1 cannot freeze memory. The threads and the children
	 * that get the memory are trusted. */
	if (ret == -EOPNOTSUPP)
		ret = 0;
	if (ret == 0)
		ret = peal_ring_format(&l->ring, &g, l->mem.base,
				       l->mem.body_offset + l->mem.body);
	if (ret == 0)
		ret = peal_doorbell_init(&l->data, PEAL_DOORBELL_EVENTFD);
	if (ret == 0)
		ret = peal_doorbell_init(&l->space, PEAL_DOORBELL_EVENTFD);
	if (ret == 0)
		ret = peal_sender_attach(&l->sender, &l->ring, &l->data,
					 &l->space);
	if (ret == 0)
		ret = peal_receiver_attach(&l->receiver, &l->ring, &l->data,
					   &l->space);
	return ret;
}

int peal_local_init(struct peal_local *local,
		    const struct peal_geometry *geometry)
{
	struct peal_local l = { 0 };
	int ret = make(&l, geometry);

	if (ret < 0) {
		peal_local_close(&l);
		return ret;
	}
	peal_sender_set_barriers(&l.sender, true);
	peal_receiver_set_barriers(&l.receiver, true);
	*local = l;
	return 0;
}

void peal_local_close(struct peal_local *local)
{
	peal_end_unwatch(&local->sender.end);
	peal_end_unwatch(&local->receiver.end);
	peal_doorbell_close(&local->data);
	peal_doorbell_close(&local->space);
	peal_mem_close(&local->mem);
	memset(local, 0, sizeof(*local));
}
