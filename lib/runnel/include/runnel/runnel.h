/* All of runnel. */
#pragma once

#include <runnel/base.h>
#include <runnel/blocking.h>
#include <runnel/chan.h>
#include <runnel/fd.h>
#include <runnel/group.h>
#include <runnel/leak.h>
#include <runnel/local.h>
#include <runnel/lock.h>
#include <runnel/loop.h>
#include <runnel/mutex.h>
#include <runnel/once.h>
#include <runnel/oneshot.h>
#include <runnel/resolve.h>
#include <runnel/runtime.h>
#include <runnel/semaphore.h>
#include <runnel/signal.h>
#include <runnel/slice.h>
#include <runnel/sys.h>
#include <runnel/task.h>
#include <runnel/thread.h>
#include <runnel/ticker.h>
