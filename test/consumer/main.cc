// Squares, from one task to another, by RAII.
#include <cerrno>
#include <cstdio>
#include <memory>

#include <runnel/runnel.h>

namespace {

const rn_elem number = {sizeof(int), nullptr, 0, {0}};

int squares(void *arg)
{
    const auto *tx = static_cast<const rn_tx *>(arg);
    int r = 0;

    for (int i = 1; i <= 4 && r == 0; i++) {
        int square = i * i;
        r = rn_tx_send(*tx, &square, RN_FOREVER);
    }
    return r;
}

int app(void *)
{
    struct rn_tx tx;
    struct rn_rx rx;
    int n, r = rn_chan_open_elem(&number, 0, &tx, &rx);

    if (r == 0) {
        const rn_end end = rn_end_tx(tx);
        r = rn_go(rn_scope_self(), squares, &tx, &end, 1);
    }
    std::unique_ptr<struct rn_rx, void (*)(struct rn_rx *)> closes(&rx, rn_rx_closep);
    while (r == 0 && (r = rn_rx_recv(rx, &n, RN_FOREVER)) == 0)
        std::printf("%d\n", n);
    return r == -EPIPE ? 0 : r;
}

} // namespace

int main()
{
    return rn_run(nullptr, app, nullptr) < 0;
}
