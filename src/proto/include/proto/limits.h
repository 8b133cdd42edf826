/* The arithmetic of the agent protocol: each limit has a name here, and the reason beside it. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define FT_KIB ((size_t)1024)
#define FT_MIB (1024 * FT_KIB)

/* A frame's length (its header byte and its message). Above 128 MiB the first byte of the length
 * would grow past 0x08 and could be taken for HTTP or TLS, where the port tells protocols apart by
 * their first bytes. */
#define FT_MESSAGE_MAX_DEFAULT (4 * FT_MIB)
#define FT_MESSAGE_MAX_LIMIT   (128 * FT_MIB)
#define FT_MESSAGE_MAX_AGENT   (64 * FT_MIB) /* what our agent accepts */

/* Messages inside one another, the outermost counted. The generated decoder recurses and takes 960
 * bytes of stack a level (measured, Debian 12's libprotobuf-c on x86-64), so the deepest message
 * needs 31 KiB: half of a task's usual stack. */
#define FT_SCAN_DEPTH_MAX 32

/* Fields of all levels together. The generated decoder spends about 50 bytes on each, however empty
 * it is. */
#define FT_SCAN_ELEMENTS_MAX 65536

/* Decoded structures against encoded bytes: no honest message comes near eight times. */
#define FT_DECODE_FACTOR 8

/* Decoded messages of one server at one moment. */
#define FT_DECODE_BUDGET_DEFAULT (256 * FT_MIB)

/* Text that comes from processes and files is cut to this before it enters a message. */
#define FT_TEXT_MAX 2048

/* Samples of one ProcessMetrics: with eleven fields each they stay under FT_SCAN_ELEMENTS_MAX. */
#define FT_METRICS_SAMPLES_MAX 4096

#define FT_UID_LEN  16 /* instance_uid */
#define FT_BOOT_LEN 16 /* boot_id */
