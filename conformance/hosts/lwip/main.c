// The host program of the conformance target "lwip": lwIP as Debian builds it
// (liblwip0, with its headers from liblwip-dev), on a TAP, told what to do in
// lines by the tester (docs/conformance.md).
//
//     cc -O2 -o tapstack-host-lwip main.c $(pkg-config --cflags --libs lwip) -lpthread
//
// Nothing of lwIP is changed or set here that an application has no say in.
// What it behaves by was decided when the library was built, in
// /usr/include/lwip/lwipopts.h: Duplicate Address Detection with one probe,
// stateless autoconfiguration, router solicitations, MLD, address scopes, and
// forwarding, which has no effect on a host with one interface. lwIP's own
// defaults (lwip/opt.h) are the rest, among them tables of 10 neighbors,
// 10 destinations, 5 prefixes, 3 routers and 6 addresses.
//
// What is chosen here, as lwIP's documentation has an application do it:
// - The library is built for threads. Its own thread, of tcpip_init, has the
//   timers and what comes in; commands are carried out under its lock.
// - The link-local address is made of the Ethernet address, by
//   netif_create_ip6_linklocal_address, before the interface comes up for the
//   first time; autoconfiguration is on.
// - There is no IPv4 address.
// - "up" and "down" are netif_set_up and netif_set_down. The link itself is
//   always up. While the interface is down, its driver sends nothing and throws
//   away what comes in.
// - "join" and "leave" are mld6_joingroup_netif and mld6_leavegroup_netif,
//   which is what a socket of lwIP does.
// - "mtu" sets what a driver sets when it starts.

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <unistd.h>
#include <linux/if_tun.h>

#include <lwip/ethip6.h>
#include <lwip/etharp.h>
#include <lwip/init.h>
#include <lwip/mld6.h>
#include <lwip/nd6.h>
#include <lwip/netif.h>
#include <lwip/priv/nd6_priv.h>
#include <lwip/tcpip.h>
#include <lwip/udp.h>

#define MAX_FRAME 65535
#define MAX_WORDS 64

static struct netif interface;
static int tap = -1;   // not before setup
static FILE *answers;  // what was stdout: lwIP prints there when it gives up

// ---- Answers

// say writes one line.
static void say(const char *format, ...) {
    va_list args;
    va_start(args, format);
    vfprintf(answers, format, args);
    va_end(args);
    putc('\n', answers);
}

// answer is the final line for an error code of lwIP.
static void answer(err_t err) {
    if (err == ERR_OK)
        say("ok");
    else
        say("refused lwIP answers %d", err);
}

static void fatal(const char *what) {
    fprintf(stderr, "tapstack-host-lwip: %s: %s\n", what, strerror(errno));
    exit(1);
}

// ---- The interface

// transmit is lwIP's driver: it writes a frame.
static err_t transmit(struct netif *netif, struct pbuf *p) {
    static u8_t frame[MAX_FRAME];  // under the lock of the stack
    if (!netif_is_up(netif))
        return ERR_IF;
    u16_t n = pbuf_copy_partial(p, frame, p->tot_len, 0);
    return write(tap, frame, n) == n ? ERR_OK : ERR_IF;
}

static err_t start(struct netif *netif) {
    netif->name[0] = 't';
    netif->name[1] = 'p';
    netif->mtu = netif->mtu6 = 1500;
    netif->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET | NETIF_FLAG_MLD6 | NETIF_FLAG_LINK_UP;
    netif->linkoutput = transmit;
    netif->output = etharp_output;
    netif->output_ip6 = ethip6_output;
    return ERR_OK;
}

// receive takes one frame from the TAP. Those to other nodes are nothing that an
// Ethernet controller would pass on.
static void receive(void) {
    static u8_t frame[MAX_FRAME];
    ssize_t n = read(tap, frame, sizeof frame);
    if (n < 0) {
        if (errno == EINTR || errno == EAGAIN)
            return;
        fatal("read from the TAP");
    }
    bool ours = n >= SIZEOF_ETH_HDR && ((frame[0] & 1) || memcmp(frame, interface.hwaddr, ETH_HWADDR_LEN) == 0);
    if (!ours || !netif_is_up(&interface))
        return;
    // Not of PBUF_POOL: Debian's library takes those for larger than they are, and
    // writes past their end with a frame of 662 octets.
    struct pbuf *p = pbuf_alloc(PBUF_RAW, n, PBUF_RAM);
    if (p == NULL)
        return;
    pbuf_take(p, frame, n);
    if (interface.input(p, &interface) != ERR_OK)
        pbuf_free(p);
}

static void open_tap(const char *name) {
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
    snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
    tap = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    if (tap < 0)
        fatal("open /dev/net/tun");
    if (ioctl(tap, TUNSETIFF, &request) < 0)
        fatal("attach to the TAP");
}

// ---- Words of a request

static char *words[MAX_WORDS];
static int count;

// value returns what stands behind "NAME=" among the words, or NULL.
static const char *value(const char *name) {
    size_t n = strlen(name);
    for (int i = 1; i < count; i++)
        if (strncmp(words[i], name, n) == 0 && words[i][n] == '=')
            return words[i] + n + 1;
    return NULL;
}

static bool has(const char *word) {
    for (int i = 1; i < count; i++)
        if (strcmp(words[i], word) == 0)
            return true;
    return false;
}

// address reads an address, in the zone of the interface if it has a scope.
// Without one the request is answered.
static bool address(const char *s, ip6_addr_t *a) {
    if (s == NULL || !ip6addr_aton(s, a)) {
        say("refused %s is no address", s == NULL ? "nothing" : s);
        return false;
    }
    ip6_addr_assign_zone(a, IP6_UNKNOWN, &interface);
    return true;
}

static u32_t number(const char *name, u32_t otherwise) {
    const char *s = value(name);
    return s == NULL ? otherwise : strtoul(s, NULL, 10);
}

// ---- Requests, under the lock of the stack

// These are the knobs that lwIP has at one value, and no others.
static const char *const knobs[] = {
    "knob.dad_transmits=1",  "knob.retrans_timer=1s", "knob.iid=eui64",     "knob.temp_addresses=off",
    "knob.enhanced_dad=off", "knob.mld_version=1",    "knob.loopback=none", "knob.redirects=on",
    "knob.router_type=A",
};

// has_knobs reports whether the wishes of a setup can be fulfilled. If not, it
// is answered.
static bool has_knobs(void) {
    for (int i = 1; i < count; i++) {
        bool known = strncmp(words[i], "knob.", 5) != 0;
        for (size_t k = 0; k < LWIP_ARRAYSIZE(knobs); k++)
            known = known || strcmp(words[i], knobs[k]) == 0;
        if (!known) {
            say("cannot lwIP as it is built has no choice of %s", words[i] + 5);
            return false;
        }
    }
    return true;
}

static void hello(void) {
    say("name lwIP %s", LWIP_VERSION_STRING);
    say("can updown addresses groups mtu echo send icmp fragments pmtu tcp views lifetimes");
    say("profiles rfc4862");
    say("ok");
}

// setup is the one request that is not under the lock, which is not there
// before tcpip_init.
static void setup(void) {
    const char *mac = value("mac"), *iface = value("iface");
    u8_t *m = interface.hwaddr;
    unsigned seed;
    if (tap >= 0 || iface == NULL || mac == NULL ||
        sscanf(mac, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", m, m + 1, m + 2, m + 3, m + 4, m + 5) != 6) {
        say("refused one setup, with iface= and mac=");
        return;
    }
    if (value("link") != NULL && strcmp(value("link"), "tap") != 0) {
        say("cannot use a link that is no TAP");
        return;
    }
    if (!has_knobs())
        return;
    if (getrandom(&seed, sizeof seed, 0) == sizeof seed)
        srand(seed);  // LWIP_RAND is rand
    interface.hwaddr_len = ETH_HWADDR_LEN;
    open_tap(iface);
    tcpip_init(NULL, NULL);
    LOCK_TCPIP_CORE();
    netif_add_noaddr(&interface, NULL, start, tcpip_input);
    netif_set_default(&interface);
    netif_create_ip6_linklocal_address(&interface, 1);
    interface.ip6_autoconfig_enabled = 1;
    UNLOCK_TCPIP_CORE();
    say("ok");
}

// add ADDRESS/64 [no-dad] [valid=S] [preferred=S]
static void add(void) {
    ip6_addr_t a;
    s8_t i;
    char *slash = count > 1 ? strchr(words[1], '/') : NULL;
    if (has("anycast") || has("optimistic")) {
        say("cannot lwIP has no anycast and no optimistic addresses");
        return;
    }
    if (slash != NULL && strcmp(slash, "/64") != 0) {
        say("cannot an address of lwIP has no prefix length, and is as if it had 64");
        return;
    }
    if (slash != NULL)
        *slash = 0;
    if (!address(count > 1 ? words[1] : NULL, &a))
        return;
    if (netif_get_ip6_addr_match(&interface, &a) >= 0) {
        say("refused the address is there already");
        return;
    }
    err_t err = netif_add_ip6_address(&interface, &a, &i);
    if (err == ERR_OK) {  // else they are those of the address that was here before
        bool lives = value("valid") != NULL || value("preferred") != NULL;
        u32_t otherwise = lives ? IP6_ADDR_LIFE_INFINITE : IP6_ADDR_LIFE_STATIC;
        netif_ip6_addr_set_valid_life(&interface, i, number("valid", otherwise));
        netif_ip6_addr_set_pref_life(&interface, i, number("preferred", otherwise));
    }
    if (err == ERR_OK && has("no-dad"))
        netif_ip6_addr_set_state(&interface, i, IP6_ADDR_PREFERRED);
    answer(err);
}

static void del(void) {
    ip6_addr_t a;
    s8_t i;
    if (!address(words[1], &a))
        return;
    if ((i = netif_get_ip6_addr_match(&interface, &a)) < 0) {
        say("refused there is no such address");
        return;
    }
    netif_ip6_addr_set_state(&interface, i, IP6_ADDR_INVALID);
    say("ok");
}

static void group(void) {
    ip6_addr_t a;
    if (address(words[1], &a))
        answer(strcmp(words[0], "join") == 0 ? mld6_joingroup_netif(&interface, &a) : mld6_leavegroup_netif(&interface, &a));
}

// send dst=ADDRESS [src=ADDRESS] sport=N dport=N size=N
static void send_datagram(void) {
    ip_addr_t dst = {.type = IPADDR_TYPE_V6}, src = *IP6_ADDR_ANY;
    u16_t size = number("size", 8);
    if (!address(value("dst"), ip_2_ip6(&dst)) || (value("src") != NULL && !address(value("src"), ip_2_ip6(&src))))
        return;
    struct udp_pcb *socket = udp_new_ip_type(IPADDR_TYPE_V6);
    struct pbuf *p = pbuf_alloc(PBUF_TRANSPORT, size, PBUF_RAM);
    err_t err = ERR_MEM;
    if (socket != NULL && p != NULL) {
        memset(p->payload, 0, size);
        err = udp_bind(socket, &src, number("sport", 40001));
        if (err == ERR_OK)
            err = udp_sendto(socket, p, &dst, number("dport", 40000));
    }
    if (p != NULL)
        pbuf_free(p);
    if (socket != NULL)
        udp_remove(socket);
    answer(err);
}

static void set_mtu(void) {
    interface.mtu = interface.mtu6 = strtoul(words[1], NULL, 10);
    say("ok");
}

// text is an address without its zone.
static const char *text(const ip6_addr_t *a) {
    ip6_addr_t bare = *a;
    ip6_addr_clear_zone(&bare);
    return ip6addr_ntoa(&bare);
}

static void view_addresses(void) {
    for (int i = 0; i < LWIP_IPV6_NUM_ADDRESSES; i++) {
        u8_t state = netif_ip6_addr_state(&interface, i);
        const char *a = text(netif_ip6_addr(&interface, i));
        if (ip6_addr_isduplicated(state))
            say("duplicate %s", a);
        else if (ip6_addr_istentative(state))
            say("address %s tentative", a);
        else if (ip6_addr_ispreferred(state))
            say("address %s preferred", a);
        else if (ip6_addr_isdeprecated(state))
            say("address %s deprecated", a);
    }
}

static void view_neighbors(void) {
    static const char *const states[] = {"", "incomplete", "reachable", "stale", "delay", "probe"};
    for (int i = 0; i < LWIP_ND6_NUM_NEIGHBORS; i++) {
        const struct nd6_neighbor_cache_entry *n = &neighbor_cache[i];
        const u8_t *m = n->lladdr;
        char mac[20] = "";
        if (n->state == ND6_NO_ENTRY)
            continue;
        if (n->state != ND6_INCOMPLETE)
            snprintf(mac, sizeof mac, " %02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5]);
        say("neighbor %s %s%s%s", text(&n->next_hop_address), states[n->state], mac, n->isrouter ? " router" : "");
    }
}

static void views(void) {
    view_addresses();
    for (int i = 0; i < LWIP_ND6_NUM_PREFIXES; i++)
        if (prefix_list[i].netif != NULL)
            say("route %s/64", text(&prefix_list[i].prefix));
    for (int i = 0; i < LWIP_ND6_NUM_ROUTERS; i++)
        if (default_router_list[i].neighbor_entry != NULL)
            say("route ::/0 via %s", text(&default_router_list[i].neighbor_entry->next_hop_address));
    for (struct mld_group *g = netif_mld6_data(&interface); g != NULL; g = g->next)
        say("group %s", text(&g->group_address));
    view_neighbors();
    say("ok");
}

static void up(void) { netif_set_up(&interface); say("ok"); }
static void down(void) { netif_set_down(&interface); say("ok"); }

static const struct {
    const char *word;
    int words;  // at least, with this one
    void (*carry_out)(void);
} requests[] = {
    {"up", 1, up},      {"down", 1, down},   {"add", 2, add},            {"del", 2, del},     {"join", 2, group},
    {"leave", 2, group}, {"mtu", 2, set_mtu}, {"send", 2, send_datagram}, {"views", 1, views},
};

static void carry_out(void) {
    if (strcmp(words[0], "hello") == 0)
        return hello();
    if (strcmp(words[0], "setup") == 0)
        return setup();
    if (tap < 0) {
        say("refused there was no setup");
        return;
    }
    for (size_t k = 0; k < LWIP_ARRAYSIZE(requests); k++) {
        if (strcmp(words[0], requests[k].word) != 0 || count < requests[k].words)
            continue;
        LOCK_TCPIP_CORE();
        requests[k].carry_out();
        UNLOCK_TCPIP_CORE();
        return;
    }
    say("cannot lwIP has no %s", words[0]);
}

// request reads one line and answers it. At the end of the input the program
// ends.
static void request(void) {
    static char *line;
    static size_t room;
    ssize_t n = getline(&line, &room, stdin);
    if (n < 0)
        exit(0);
    count = 0;
    for (char *w = strtok(line, " \n"); w != NULL && count < MAX_WORDS; w = strtok(NULL, " \n"))
        words[count++] = w;
    if (count > 0)
        carry_out();
}

int main(void) {
    answers = fdopen(dup(STDOUT_FILENO), "w");
    if (answers == NULL || dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
        fatal("stdout");
    setvbuf(answers, NULL, _IOLBF, 0);
    setvbuf(stdin, NULL, _IONBF, 0);  // so that poll knows of every line
    for (;;) {
        struct pollfd ready[] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = tap, .events = POLLIN}};
        if (poll(ready, 2, -1) < 0 && errno != EINTR)
            fatal("poll");
        if (ready[1].revents)
            receive();
        if (ready[0].revents)
            request();
    }
}
