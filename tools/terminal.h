/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_TOOLS_TERMINAL_H
#define PEAL_TOOLS_TERMINAL_H
/* What kind of terminal an fd is. */
#include <stdbool.h>

/* Does a line that is shown there erase the one before? Not where TERM is not
 * set, or `dumb`: what would do so is garbage there. */
bool terminal_redraws(int fd);

/* COLUMNS, or the width of the window, or `otherwise` where both are unknown.*/
unsigned terminal_columns(int fd, unsigned otherwise);

/* May there be colours? NO_COLOR, unless it is empty, says no. */
bool terminal_colours(void);

#endif
