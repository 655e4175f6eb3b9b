/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The files that are streamed, and the copy that is compared with. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"
#include "demo.h"

#define DEFAULT_DIRECTORY "/usr/share/common-licenses"

static uint64_t blocks_of(uint64_t bytes)
{
	return (bytes + DEMO_BLOCK - 1) / DEMO_BLOCK;
}

static bool known(const struct demo_text *text, const struct stat *st)
{
	for (size_t i = 0; i < text->n_files; i++)
		if (text->files[i].device == st->st_dev &&
		    text->files[i].inode == st->st_ino)
			return true;
	return false;
}

static int append(struct demo_text *text, const char *path,
		  const struct stat *st)
{
	struct demo_file *files = reallocarray(text->files, text->n_files + 1,
					       sizeof(*files));
	char *copy;

	if (files)
		text->files = files;
	copy = files ? strdup(path) : NULL;
	if (!copy) {
		complain("no memory left for a list of files");
		return EXIT_FAILURE;
	}
	text->files[text->n_files++] = (struct demo_file){
		.path = copy,
		.device = st->st_dev,
		.inode = st->st_ino,
		.size = (uint64_t)st->st_size,
		.modified = st->st_mtim,
		.first = text->blocks,
	};
	text->blocks += blocks_of((uint64_t)st->st_size);
	return 0;
}

/* A file may have many names; it is taken once. */
static int add(struct demo_text *text, const char *path)
{
	char resolved[PATH_MAX];
	struct stat st;

	if (!realpath(path, resolved) || stat(resolved, &st) < 0 ||
	    access(resolved, R_OK) < 0) {
		complain("cannot read %s: %s. Name files that you may read.",
			 path, strerror(errno));
		return EXIT_USAGE;
	}
	if (S_ISDIR(st.st_mode)) {
		complain("%s is a directory. Name the files in it: %s/*", path,
			 path);
		return EXIT_USAGE;
	}
	if (!S_ISREG(st.st_mode)) {
		complain(
			"%s is not a regular file. Name files that can be "
			"read again and again.",
			path);
		return EXIT_USAGE;
	}
	if (st.st_size == 0) {
		complain("%s is empty: skipped", path);
		return 0;
	}
	return known(text, &st) ? 0 : append(text, resolved, &st);
}

static int regular(const struct dirent *entry)
{
	char path[PATH_MAX];
	struct stat st;

	if (snprintf(path, sizeof(path), "%s/%s", DEFAULT_DIRECTORY,
		     entry->d_name) >= (int)sizeof(path))
		return 0;
	return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

/* Not every system has them; the library alone will do, then. */
static int add_licenses(struct demo_text *text)
{
	struct dirent **entries;
	int n = scandir(DEFAULT_DIRECTORY, &entries, regular, alphasort);
	int ret = 0;

	if (n < 0)
		return 0;
	for (int i = 0; i < n; i++) {
		char path[PATH_MAX];

		snprintf(path, sizeof(path), "%s/%s", DEFAULT_DIRECTORY,
			 entries[i]->d_name);
		if (ret == 0)
			ret = add(text, path);
		free(entries[i]);
	}
	free(entries);
	return ret;
}

static int find_library(struct dl_phdr_info *info, size_t size, void *path)
{
	const char **found = path;

	(void)size;
	if (!strstr(info->dlpi_name, "/libpeal.so"))
		return 0;
	*found = info->dlpi_name;
	return 1;
}

/* The library as it is loaded, or the program that it was linked into. */
static int add_library(struct demo_text *text)
{
	const char *path = "/proc/self/exe";

	dl_iterate_phdr(find_library, &path);
	return add(text, path);
}

static int explain_read(const struct demo_file *file, ssize_t ret)
{
	if (ret < 0)
		complain("cannot read %s: %s", file->path, strerror(errno));
	else
		complain("%s changed while it was read. Copy it first.",
			 file->path);
	return EXIT_USAGE;
}

static int copy_file(const struct demo_file *file, unsigned char *to)
{
	int fd = open(file->path, O_RDONLY | O_CLOEXEC);
	ssize_t ret = fd < 0 ? -1 : 1;
	uint64_t done = 0;

	while (ret > 0 && done < file->size) {
		ret = read(fd, to + done, file->size - done);
		if (ret > 0)
			done += (uint64_t)ret;
	}
	if (ret <= 0)
		ret = explain_read(file, ret);
	else
		ret = 0;
	if (fd >= 0)
		close(fd);
	return (int)ret;
}

/* A blob, so that nothing can change it any more; and not for children. */
static int copy_all(struct demo_text *text)
{
	size_t size = (size_t)text->blocks * DEMO_BLOCK;
	int ret = peal_blob_create(&text->copy, "demo", size);

	if (ret < 0) {
		complain("cannot make a copy of the files, %zu bytes: %s%s",
			 size, strerror(-ret),
			 ret == -ENOMEM || ret == -ENOSPC
				 ? ". Name fewer or smaller ones."
				 : demo_hint(ret));
		return demo_status(ret);
	}
	for (size_t i = 0; i < text->n_files; i++) {
		const struct demo_file *file = &text->files[i];

		ret = copy_file(file, (unsigned char *)text->copy.base +
					      file->first * DEMO_BLOCK);
		if (ret != 0)
			return ret;
	}
	ret = peal_blob_seal(&text->copy);
	if (ret < 0) {
		complain("cannot seal the copy of the files: %s",
			 strerror(-ret));
		return EXIT_FAILURE;
	}
	if (madvise(text->copy.base, size, MADV_DONTFORK) < 0) {
		complain(
			"cannot keep the copy of the files from the senders: "
			"%s",
			strerror(errno));
		return EXIT_FAILURE;
	}
	return 0;
}

int demo_text_load(struct demo_text *text, char *const *paths, size_t n)
{
	int ret = 0;

	for (size_t i = 0; i < n && ret == 0; i++)
		ret = add(text, paths[i]);
	if (n == 0) {
		ret = add_licenses(text);
		if (ret == 0)
			ret = add_library(text);
	}
	if (ret == 0 && text->n_files == 0) {
		complain("no file to stream. Name one that is not empty.");
		ret = EXIT_USAGE;
	}
	return ret == 0 ? copy_all(text) : ret;
}

void demo_text_finish(struct demo_text *text)
{
	for (size_t i = 0; i < text->n_files; i++)
		free(text->files[i].path);
	free(text->files);
	peal_blob_close(&text->copy);
	*text = (struct demo_text){ 0 };
}
