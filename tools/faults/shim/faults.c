/*
 * Preloaded into a process, counts the calls that change files below a directory, and at one of them kills the process or fails the call.
 *
 *   FAULT_DIRECTORY  calls on paths below it count
 *   FAULT_TRACE      a file, outside of it: gets "<number> <call> <path>" for each
 *   FAULT_CALLS      which count, between commas: open rename fsync write truncate unlink mkdir link, and read for opening to read
 *   FAULT_AT         the number of the call that is hit; without it all pass
 *   FAULT_HOW        before | half | after   kill the process, "half" once a write has written half of its bytes
 *                    once | on               fail this call, or this and all that follow, with FAULT_ERRNO
 *
 * The trace is written by system calls of its own, so that nothing is buffered when the process dies.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum how { PASS, BEFORE, HALF, AFTER, ONCE, ON };
enum verdict { GO, FAIL, DIE_AFTER, DIE_HALF };

static char directory[PATH_MAX];
static size_t directory_length;
static char counted[256];
static int trace = -1;
static long hit_at;
static enum how how;
static int hit_errno;
static atomic_long calls;

#define REAL(name) ((__typeof__(&name))real(#name))

static void *real(const char *name) { return dlsym(RTLD_NEXT, name); }

__attribute__((constructor)) static void start(void)
{
  const char *below = getenv("FAULT_DIRECTORY"), *path = getenv("FAULT_TRACE"), *which = getenv("FAULT_CALLS");
  if (!below || !path || !which) return;
  snprintf(directory, sizeof directory, "%s", below);
  snprintf(counted, sizeof counted, ",%s,", which);
  const char *at = getenv("FAULT_AT"), *what = getenv("FAULT_HOW"), *error = getenv("FAULT_ERRNO");
  hit_at = at ? atol(at) : 0;
  hit_errno = error ? atoi(error) : EIO;
  const char *const names[] = {"", "before", "half", "after", "once", "on"};
  for (int i = BEFORE; what && i <= ON; i++)
    if (!strcmp(what, names[i])) how = i;
  trace = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  // children are no part of the experiment
  unsetenv("LD_PRELOAD");
  directory_length = strlen(directory);
}

static void die(void)
{
  syscall(SYS_kill, syscall(SYS_getpid), SIGKILL);
  for (;;) pause();
}

static enum verdict judge(const char *call, const char *path)
{
  if (!directory_length || strncmp(path, directory, directory_length)) return GO;
  if (path[directory_length] != '/' && path[directory_length] != '\0') return GO;
  char name[32];
  snprintf(name, sizeof name, ",%s,", call);
  if (!strstr(counted, name)) return GO;
  long number = atomic_fetch_add(&calls, 1) + 1;
  char line[PATH_MAX + 64];
  const char *below = path[directory_length] ? path + directory_length + 1 : ".";
  int length = snprintf(line, sizeof line, "%ld %s %s\n", number, call, below);
  syscall(SYS_write, trace, line, (size_t)length);
  if (!hit_at || number < hit_at) return GO;
  if (how == ON) return FAIL;
  if (number > hit_at) return GO;
  if (how == BEFORE) die();
  return how == ONCE ? FAIL : how == AFTER ? DIE_AFTER : how == HALF ? DIE_HALF : GO;
}

/* The path that a name stands for: those that are relative to a directory too. */
static enum verdict judge_at(const char *call, int at, const char *name)
{
  if (name[0] == '/') return judge(call, name);
  char link[64], path[PATH_MAX * 2];
  if (at == AT_FDCWD) snprintf(link, sizeof link, "/proc/self/cwd");
  else snprintf(link, sizeof link, "/proc/self/fd/%d", at);
  long length = syscall(SYS_readlinkat, AT_FDCWD, link, path, PATH_MAX - 1);
  if (length < 0) return GO;
  snprintf(path + length, sizeof path - length, "/%s", name);
  return judge(call, path);
}

static enum verdict judge_fd(const char *call, int fd)
{
  if (!directory_length) return GO;
  char link[64], path[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  long length = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
  if (length < 0) return GO;
  path[length] = '\0';
  return judge(call, path);
}

#define RUN(judgement, invocation)              \
  enum verdict found = judgement;               \
  if (found == FAIL) {                          \
    errno = hit_errno;                          \
    return -1;                                  \
  }                                             \
  __typeof__(invocation) result = invocation;   \
  int error = errno;                            \
  if (found == DIE_AFTER || found == DIE_HALF) die(); \
  errno = error;                                \
  return result

/* open */

static const char *opening(int flags) { return flags & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC) ? "open" : "read"; }

#define MODE(flags)                                        \
  mode_t mode = 0;                                         \
  if (flags & (O_CREAT | __O_TMPFILE)) {                   \
    va_list rest;                                          \
    va_start(rest, flags);                                 \
    mode = va_arg(rest, mode_t);                           \
    va_end(rest);                                          \
  }

int open(const char *path, int flags, ...) { MODE(flags); RUN(judge_at(opening(flags), AT_FDCWD, path), REAL(open)(path, flags, mode)); }
int open64(const char *path, int flags, ...) { MODE(flags); RUN(judge_at(opening(flags), AT_FDCWD, path), REAL(open64)(path, flags, mode)); }
int openat(int at, const char *path, int flags, ...) { MODE(flags); RUN(judge_at(opening(flags), at, path), REAL(openat)(at, path, flags, mode)); }
int openat64(int at, const char *path, int flags, ...) { MODE(flags); RUN(judge_at(opening(flags), at, path), REAL(openat64)(at, path, flags, mode)); }
int creat(const char *path, mode_t mode) { RUN(judge_at("open", AT_FDCWD, path), REAL(creat)(path, mode)); }
int creat64(const char *path, mode_t mode) { RUN(judge_at("open", AT_FDCWD, path), REAL(creat64)(path, mode)); }

/* rename, link, unlink, mkdir: by the name that appears or goes */

int rename(const char *from, const char *to) { RUN(judge_at("rename", AT_FDCWD, to), REAL(rename)(from, to)); }
int renameat(int from_at, const char *from, int at, const char *to) { RUN(judge_at("rename", at, to), REAL(renameat)(from_at, from, at, to)); }
int renameat2(int from_at, const char *from, int at, const char *to, unsigned flags) { RUN(judge_at("rename", at, to), REAL(renameat2)(from_at, from, at, to, flags)); }
int link(const char *from, const char *to) { RUN(judge_at("link", AT_FDCWD, to), REAL(link)(from, to)); }
int linkat(int from_at, const char *from, int at, const char *to, int flags) { RUN(judge_at("link", at, to), REAL(linkat)(from_at, from, at, to, flags)); }
int symlink(const char *target, const char *path) { RUN(judge_at("link", AT_FDCWD, path), REAL(symlink)(target, path)); }
int unlink(const char *path) { RUN(judge_at("unlink", AT_FDCWD, path), REAL(unlink)(path)); }
int unlinkat(int at, const char *path, int flags) { RUN(judge_at("unlink", at, path), REAL(unlinkat)(at, path, flags)); }
int rmdir(const char *path) { RUN(judge_at("unlink", AT_FDCWD, path), REAL(rmdir)(path)); }
int mkdir(const char *path, mode_t mode) { RUN(judge_at("mkdir", AT_FDCWD, path), REAL(mkdir)(path, mode)); }
int mkdirat(int at, const char *path, mode_t mode) { RUN(judge_at("mkdir", at, path), REAL(mkdirat)(at, path, mode)); }

/* what goes to an open file */

int fsync(int fd) { RUN(judge_fd("fsync", fd), REAL(fsync)(fd)); }
int fdatasync(int fd) { RUN(judge_fd("fsync", fd), REAL(fdatasync)(fd)); }
int ftruncate(int fd, off_t length) { RUN(judge_fd("truncate", fd), REAL(ftruncate)(fd, length)); }
int ftruncate64(int fd, off64_t length) { RUN(judge_fd("truncate", fd), REAL(ftruncate64)(fd, length)); }
int fallocate(int fd, int mode, off_t offset, off_t length) { RUN(judge_fd("truncate", fd), REAL(fallocate)(fd, mode, offset, length)); }
int fallocate64(int fd, int mode, off64_t offset, off64_t length) { RUN(judge_fd("truncate", fd), REAL(fallocate64)(fd, mode, offset, length)); }
int posix_fallocate(int fd, off_t offset, off_t length)
{
  // gives its error instead of setting it
  enum verdict found = judge_fd("truncate", fd);
  if (found == FAIL) return hit_errno;
  int result = REAL(posix_fallocate)(fd, offset, length);
  if (found == DIE_AFTER || found == DIE_HALF) die();
  return result;
}

#define SOME(length) (found == DIE_HALF ? (length + 1) / 2 : length)
ssize_t write(int fd, const void *bytes, size_t length) { RUN(judge_fd("write", fd), REAL(write)(fd, bytes, SOME(length))); }
ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at) { RUN(judge_fd("write", fd), REAL(pwrite)(fd, bytes, SOME(length), at)); }
ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t at) { RUN(judge_fd("write", fd), REAL(pwrite64)(fd, bytes, SOME(length), at)); }
ssize_t writev(int fd, const struct iovec *parts, int count) { RUN(judge_fd("write", fd), REAL(writev)(fd, parts, SOME(count))); }
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) { RUN(judge_fd("write", fd), REAL(pwritev)(fd, parts, SOME(count), at)); }
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t at) { RUN(judge_fd("write", fd), REAL(pwritev64)(fd, parts, SOME(count), at)); }
