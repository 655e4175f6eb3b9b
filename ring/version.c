/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <peal/version.h>

const char *peal_version(void)
{
	return PEAL_VERSION;
}
