// How high the items of a long list are: measured where they have been on the screen, estimated elsewhere. Sums through any item, and the item at any
// height, in O(log n) (a Fenwick tree over what differs from the estimate).

export class Heights {
  constructor(estimate) {
    this.estimate = estimate;
    this.reset(0);
  }

  /** Nothing is measured of any of these items. */
  reset(count) {
    this.count = count;
    this.size = 1 << Math.ceil(Math.log2(Math.max(count, 1) + 64));
    this.known = new Float64Array(this.size).fill(-1);
    this.tree = new Float64Array(this.size + 1);
  }

  /** The list is so long now. What was known of its first items stays. */
  resize(count) {
    for (let index = count; index < this.count; index += 1) this.forget(index);
    if (count > this.size) {
      const known = this.known;
      this.reset(count);
      known.forEach((height, index) => { if (height >= 0) this.set(index, height); });
    }
    this.count = count;
  }

  at(index) {
    const known = this.known[index];
    return known < 0 ? this.estimate : known;
  }

  isKnown(index) { return this.known[index] >= 0; }

  /** Whether this is news. */
  set(index, height) {
    const by = height - this.at(index);
    this.known[index] = height;
    if (Math.abs(by) < 0.01) return false;
    this.add(index, by);
    return true;
  }

  forget(index) {
    if (this.known[index] < 0) return;
    this.add(index, this.estimate - this.known[index]);
    this.known[index] = -1;
  }

  add(index, by) {
    for (let at = index + 1; at <= this.size; at += at & -at) this.tree[at] += by;
  }

  /** The height of all items before this one. */
  before(index) {
    let sum = index * this.estimate;
    for (let at = index; at > 0; at -= at & -at) sum += this.tree[at];
    return sum;
  }

  get total() { return this.before(this.count); }

  /** The item that covers this height; the last one beyond the end. */
  find(height) {
    let low = 0;
    let high = this.count - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.before(middle) <= height) low = middle; else high = middle - 1;
    }
    return Math.max(0, low);
  }
}
