/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* peal top --once: a table, as wide as the terminal or as 120 columns. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../command.h"
#include "../terminal.h"
#include "top.h"

#define LINE_SIZE 4096

static void put(char *line)
{
	size_t n = strlen(line);

	while (n > 0 && line[n - 1] == ' ')
		line[--n] = '\0';
	puts(line);
}

int top_print(const struct top_list *list, size_t shown)
{
	struct top_columns columns;
	char line[LINE_SIZE];

	top_columns_fit(&columns, terminal_columns(STDOUT_FILENO, 120));
	if (shown > 0) {
		top_line(line, sizeof(line), &columns, NULL);
		put(line);
	}
	for (size_t i = 0; i < shown; i++) {
		top_line(line, sizeof(line), &columns, &list->rings[i]);
		put(line);
	}
	top_hidden(line, sizeof(line), list);
	if (fflush(stdout) != 0)
		return -errno;
	if (shown == 0)
		complain("no rings%s", list->n > 0 ? " that fit"
				       : line[0]   ? " that can be seen"
						   : "");
	if (line[0])
		complain("%s", line);
	return 0;
}
