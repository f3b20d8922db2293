package demo

// memoryStory is what Memory tells.
const memoryStory = `Two hosts, alice (02:00:00:00:00:0a) and bob (02:00:00:00:00:0b), share one Ethernet
link, which is in the memory of this process.

1. alice has the address 2001:db8::5/64.

So far bob has only the link-local address that it made itself:

  address  fe80::ff:fe00:b/64   preferred
  route    fe80::/64            on-link, held by address fe80::ff:fe00:b
  route    fe80::ff:fe00:b/128  local, held by address fe80::ff:fe00:b
  group    ff02::1              held by node
  group    ff02::1:ff00:b       held by address fe80::ff:fe00:b

2. bob adds 2001:db8::6/64, which nobody has.

Before it uses the address it asks the link whether somebody has it: this is
Duplicate Address Detection (DAD). For a second it waits for an answer.

On the wire (reports are sent twice; the repeats are not shown):

  0.000s  bob       MLDv2 report: join ff02::1:ff00:6 (TO_EX)
                    fe80::ff:fe00:b > ff02::16  "I listen to this address's group from now on."
  0.000s  bob       neighbor solicitation for 2001:db8::6 (DAD probe) nonce=N
                    :: > ff02::1:ff00:6  "Has anybody this address?"

No answer came: the address is assigned.

Now bob has it, and with it two routes and a group:

  address  fe80::ff:fe00:b/64   preferred
  address  2001:db8::6/64       preferred
  route    2001:db8::/64        on-link, held by address 2001:db8::6
  route    2001:db8::6/128      local, held by address 2001:db8::6
  route    fe80::/64            on-link, held by address fe80::ff:fe00:b
  route    fe80::ff:fe00:b/128  local, held by address fe80::ff:fe00:b
  group    ff02::1              held by node
  group    ff02::1:ff00:6       held by address 2001:db8::6
  group    ff02::1:ff00:b       held by address fe80::ff:fe00:b

3. bob adds 2001:db8::5/64, which alice has.

On the wire (reports are sent twice; the repeats are not shown):

  0.000s  bob       MLDv2 report: join ff02::1:ff00:5 (TO_EX)
                    fe80::ff:fe00:b > ff02::16  "I listen to this address's group from now on."
  0.000s  bob       neighbor solicitation for 2001:db8::5 (DAD probe) nonce=N
                    :: > ff02::1:ff00:5  "Has anybody this address?"
  0.000s  alice     neighbor advertisement of 2001:db8::5 at 02:00:00:00:00:0a override
                    2001:db8::5 > ff02::1  "Yes, I have."
  0.000s  bob       MLDv2 report: leave ff02::1:ff00:5 (TO_IN)
                    fe80::ff:fe00:b > ff02::16  "I do not listen to it any more."

There was an answer. The address is not added, and the error says whose it is:

  add 2001:db8::5 on bob: duplicate address: in use by 02:00:00:00:00:0a (neighbor advertisement)

Nothing of it is left: bob has what it had before:

  address  fe80::ff:fe00:b/64   preferred
  address  2001:db8::6/64       preferred
  route    2001:db8::/64        on-link, held by address 2001:db8::6
  route    2001:db8::6/128      local, held by address 2001:db8::6
  route    fe80::/64            on-link, held by address fe80::ff:fe00:b
  route    fe80::ff:fe00:b/128  local, held by address fe80::ff:fe00:b
  group    ff02::1              held by node
  group    ff02::1:ff00:6       held by address 2001:db8::6
  group    ff02::1:ff00:b       held by address fe80::ff:fe00:b

Verdict: as it should be. The unique address was assigned, the duplicate was
refused, its owner is known, and addresses, routes and groups are as before.

`
