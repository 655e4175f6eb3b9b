/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * For compilers without a fuzzer: run the inputs that are named, files or
 * folders of them, each once, in alphabetical order.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

static unsigned runs;

static void run_file(const char *path)
{
	static uint8_t data[1 << 16];
	FILE *file = fopen(path, "rb");
	uint8_t *copy;
	size_t size;

	if (!file) {
		perror(path);
		exit(2);
	}
	size = fread(data, 1, sizeof(data), file);
	fclose(file);
	/* Exactly so large, for those who watch every byte. */
	copy = malloc(size ? size : 1);
	if (!copy)
		exit(2);
	memcpy(copy, data, size);
	LLVMFuzzerTestOneInput(copy, size);
	free(copy);
	runs++;
}

static int visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static void run_folder(const char *path, struct dirent **entries, int n)
{
	for (int i = 0; i < n; i++) {
		char name[4096];

		snprintf(name, sizeof(name), "%s/%s", path, entries[i]->d_name);
		free(entries[i]);
		run_file(name);
	}
	free(entries);
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		struct dirent **entries;
		int n = scandir(argv[i], &entries, visible, alphasort);

		if (n >= 0)
			run_folder(argv[i], entries, n);
		else
			run_file(argv[i]);
	}
	printf("%u inputs\n", runs);
	return runs > 0 ? 0 : 2;
}
