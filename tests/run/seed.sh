# Sourced: the seed of a random part, drawn unless FLOTILLA_SEED names it, and the
# lane that it plays of those that each build everything once more.
seed=${FLOTILLA_SEED:-$(od -An -N3 -tu4 /dev/urandom | tr -d ' ')}
case $((seed % 3)) in
0) seed_lane=tsan ;;
1) seed_lane=arm64 ;;
*) seed_lane=armhf ;;
esac
echo "seed $seed (FLOTILLA_SEED=$seed repeats it)"
