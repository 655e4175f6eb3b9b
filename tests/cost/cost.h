/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_TESTS_COST_H
#define PEAL_TESTS_COST_H
/*
 * What an enemy's CPU time costs the server, and what it costs those who would
 * like to connect meanwhile. One row is one enemy, which goes on until it is
 * killed.
 */
#include "../fixtures/hostile.h"

struct cost_enemy {
	const char *name;
	void (*run)(const struct cost_enemy *enemy);
	bool same_user; /* as the server's; else it is nobody */
	enum peal_role role;
	enum peal_doorbell_kind bells;
	int n;
};

/* It ends with an empty row. */
extern const struct cost_enemy cost_enemies[];

/* Done once more. */
void cost_count(void);

#endif
