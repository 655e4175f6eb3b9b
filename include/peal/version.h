/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PEAL_VERSION_H
#define PEAL_VERSION_H
/**
 * @file
 * Which peal this is: that of the headers, and that of the library.
 *
 *	#if PEAL_VERSION_NUMBER < PEAL_VERSION_ENCODE(0, 2, 0)
 *	...
 *	#endif
 *
 *	printf("built with %s, runs with %s\n", PEAL_VERSION, peal_version());
 *
 * Versions are those of semantic versioning (semver.org). README.md says what
 * is promised before 1.0.
 */
#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/** The numbers of the version. */
#define PEAL_VERSION_MAJOR 0
#define PEAL_VERSION_MINOR 1
#define PEAL_VERSION_PATCH 0

/** "MAJOR.MINOR.PATCH" */
#define PEAL_VERSION "0.1.0"

/** A version as a number, to be compared; minor and patch below 1000. */
#define PEAL_VERSION_ENCODE(major, minor, patch)                               \
	((major)*1000000 + (minor)*1000 + (patch))

/** That of these headers. */
#define PEAL_VERSION_NUMBER                                                    \
	PEAL_VERSION_ENCODE(PEAL_VERSION_MAJOR, PEAL_VERSION_MINOR,            \
			    PEAL_VERSION_PATCH)

/**
 * The version of the library that is linked, which may be newer than the
 * headers that a program was built with.
 * @return  as PEAL_VERSION, for ever valid
 * From any thread, or signal handler.
 */
const char *peal_version(void);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
