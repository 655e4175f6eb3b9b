/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Flows: which are in use, and whose sender is dead. A number is used again
 * long after its flow has ended, when all others were.
 */
#include <stdio.h>

#include "../fixtures/harness.h"
#include "soak.h"

struct dead {
	uint64_t flow, since;
	int receiver;
};

static struct {
	uint64_t free[KILL_FLOWS]; /* a queue */
	uint64_t head, tail;
	struct dead dead[KILL_FLOWS];
	size_t n_dead;
} flows;

static struct kill_flow *at(uint64_t number)
{
	return &kill_world.page->flows[number];
}

static void give_back(uint64_t number)
{
	flows.free[flows.tail++ % KILL_FLOWS] = number;
}

void soak_flows_init(void)
{
	for (uint64_t i = 1; i < KILL_FLOWS; i++)
		give_back(i);
}

/* As of now; what a dead sender was publishing when it died may be there. */
static bool arrived(const struct kill_flow *flow)
{
	uint64_t received = kill_load(&flow->received);

	return received == kill_load(&flow->released) &&
	       (received == kill_load(&flow->done) ||
		received == kill_load(&flow->intent));
}

static void count(struct kill_flow *flow)
{
	uint64_t received = kill_load(&flow->received);

	soak_figures.items += received;
	soak_figures.repeated += flow->repeats;
	if (flow->done > received)
		soak_figures.lost += flow->done - received;
	*flow = (struct kill_flow){ 0 };
}

uint64_t soak_flow_new(void)
{
	uint64_t number;

	if (flows.head == flows.tail)
		soak_fail("all flows are in use");
	number = flows.free[flows.head++ % KILL_FLOWS];
	count(at(number));
	return number;
}

void soak_flow_dead(uint64_t number, int receiver)
{
	flows.dead[flows.n_dead++] = (struct dead){ .flow = number,
						    .since = soak_now(),
						    .receiver = receiver };
}

static void forget_those_that_arrived(void)
{
	size_t left = 0;

	for (size_t i = 0; i < flows.n_dead; i++) {
		if (arrived(at(flows.dead[i].flow)))
			give_back(flows.dead[i].flow);
		else
			flows.dead[left++] = flows.dead[i];
	}
	flows.n_dead = left;
}

bool soak_flows_arrived(int receiver)
{
	forget_those_that_arrived();
	for (size_t i = 0; i < flows.n_dead; i++)
		if (flows.dead[i].receiver == receiver)
			return false;
	return true;
}

uint64_t soak_flows_waiting(void)
{
	forget_those_that_arrived();
	return flows.n_dead ? soak_now() - flows.dead[0].since : 0;
}

bool soak_flow_drained(uint64_t number)
{
	return arrived(at(number));
}

void soak_flows_close(void)
{
	for (uint64_t i = 1; i < KILL_FLOWS; i++)
		count(at(i));
}

void soak_flows_describe(void)
{
	for (size_t i = 0; i < flows.n_dead; i++) {
		const struct kill_flow *f = at(flows.dead[i].flow);

		fprintf(stderr,
			"dead flow %llu to process %d: intent %llu, done %llu, "
			"received %llu, released %llu\n",
			(unsigned long long)flows.dead[i].flow,
			flows.dead[i].receiver, (unsigned long long)f->intent,
			(unsigned long long)f->done,
			(unsigned long long)f->received,
			(unsigned long long)f->released);
	}
}
