#!/bin/sh
# Process 1 of the second node, a kernel of its own (user-mode-linux) whose root is the machine's file
# system, read-only. What it may write is on a disk (an image file, which outlives a power cut), in
# memory, or in a folder that it shares with e2e. RUN, NAME, ADDRESS, GATEWAY and BINARIES are filled in.
export PATH=@RUN@/second/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs -o mode=755 tmpfs /run
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mkdir /run/share && mount -t hostfs none /run/share -o @RUN@/second/share
exec >>/run/share/log/boot.log 2>&1
echo "boot at $(date)"

mknod /run/disk b 98 0
mount -t ext4 /run/disk /mnt || echo "no disk"
mkdir -p /mnt/log/pods /mnt/lib /mnt/tmp
chmod 1777 /mnt/tmp
mount --bind /mnt/log /var/log
mount --bind /mnt/lib /var/lib
mount --bind /mnt/tmp /tmp

# What the power cut left of the log files, before anybody changes anything: e2e's truth.
number=$(($(cat /mnt/boots 2>/dev/null || echo 0) + 1))
echo $number >/mnt/boots
sh @RUN@/second/found.sh $number

hostname @NAME@
ip link set lo up
ip address add @ADDRESS@/24 dev vec0
ip link set vec0 up
ip route add default via @GATEWAY@

for module in overlay bridge veth br_netfilter ip_tables iptable_nat iptable_filter iptable_mangle \
  nf_conntrack xt_nat xt_comment xt_mark xt_MASQUERADE xt_conntrack xt_addrtype xt_statistic \
  nfnetlink xt_REDIRECT xt_tcpudp; do
  modprobe -d @RUN@/second/modules $module || echo "no module $module"
done
sysctl -q -w net.ipv4.ip_forward=1 net.bridge.bridge-nf-call-iptables=1
# What is written reaches the disk within seconds, so that a power cut leaves most of it and takes some.
sysctl -q -w vm.dirty_expire_centisecs=300 vm.dirty_writeback_centisecs=100

# The kubelet wants to read a clock speed, which this kernel does not tell.
{ cat /proc/cpuinfo; echo 'cpu MHz : 2000.000'; } >/run/cpuinfo
mount --bind /run/cpuinfo /proc/cpuinfo

# The addresses that were given out before the power cut are nobody's.
rm -rf /var/lib/cni
containerd --config @RUN@/second/containerd.toml >>/run/share/log/containerd.log 2>&1 &
until ctr version >/dev/null 2>&1; do sleep 0.3; done
echo $number >/run/share/ready

kubelet() {
  @BINARIES@/kubelet --config @RUN@/second/kubelet.json --kubeconfig=@RUN@/kubeconfig/kubelet-2 \
    --root-dir=/var/lib/kubelet --cert-dir=/var/lib/kubelet/pki --hostname-override=@NAME@ \
    --node-ip=@ADDRESS@ >>/run/share/log/kubelet.log 2>&1 &
}
kubelet
@BINARIES@/kube-proxy --config @RUN@/second/kube-proxy.json >>/run/share/log/kube-proxy.log 2>&1 &

# Scripts that e2e wants to be run here, one after the other.
while :; do
  for script in /run/share/in/*.sh; do
    [ -e "$script" ] || continue
    name=$(basename "$script" .sh)
    sh "$script" >/run/share/out/$name.text 2>&1
    echo $? >/run/share/out/$name.code.new
    rm "$script"
    mv /run/share/out/$name.code.new /run/share/out/$name.code
  done
  sleep 0.3
done
