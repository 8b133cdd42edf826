/* Faults of the store's disk on demand, for tests: a VFS between SQLite and the real one.
 *
 * In builds with fault points (meson -Dfault_points=true) a write, sync or truncation fails while a
 * fault is set, by ft__disk_fault_set() or by the file that FETTLE_FAULT_STORE names in the
 * environment: its first word is looked at before each write: `full`, `readonly`, `ioerr`; anything
 * else, or no file, is health. Reading always works. In other builds there is only the real VFS.
 */
#pragma once

enum ft_disk_fault { FT_DISK_HEALTHY, FT_DISK_FULL, FT_DISK_READONLY, FT_DISK_IOERR };

/* The VFS to open the database with; NULL: SQLite's own. */
const char *ft__fault_vfs(void);

#ifdef FETTLE_FAULT_POINTS
/* Of this process; from any thread. */
void ft__disk_fault_set(enum ft_disk_fault fault);
#endif
