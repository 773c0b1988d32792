//! Finds the circles of a graph: its strongly connected parts of more than one node (Tarjan), without recursion and in linear time.

/// The parts, each in ascending order; and they too, by their first node.
pub(super) fn circles(mut edges: Vec<(u64, u64)>) -> Vec<Vec<u64>> {
    edges.sort_unstable();
    edges.dedup();
    let mut nodes: Vec<u64> = edges.iter().flat_map(|(from, to)| [*from, *to]).collect();
    nodes.sort_unstable();
    nodes.dedup();
    let mut search = Search {
        index: vec![None; nodes.len()],
        low: vec![0; nodes.len()],
        on_stack: vec![false; nodes.len()],
        stack: Vec::new(),
        count: 0,
        parts: Vec::new(),
    };
    for node in 0..nodes.len() {
        if search.index[node].is_none() {
            search.from(node, &nodes, &edges);
        }
    }
    let named = |part: Vec<usize>| part.into_iter().map(|node| nodes[node]).collect::<Vec<_>>();
    let mut parts: Vec<Vec<u64>> = search.parts.into_iter().map(named).collect();
    parts.sort_unstable();
    parts
}

struct Search {
    index: Vec<Option<usize>>,
    low: Vec<usize>,
    on_stack: Vec<bool>,
    stack: Vec<usize>,
    count: usize,
    parts: Vec<Vec<usize>>,
}

impl Search {
    /// Visits all that can be reached from a node. `path` holds the nodes on the way, each with the place of its next edge.
    fn from(&mut self, root: usize, nodes: &[u64], edges: &[(u64, u64)]) {
        let mut path = vec![self.enter(root, nodes, edges)];
        while let Some((node, edge)) = path.last_mut() {
            let node = *node;
            let next = edges.get(*edge).filter(|(from, _)| *from == nodes[node]);
            *edge += 1;
            let next = next.and_then(|(_, to)| nodes.binary_search(to).ok());
            match next {
                Some(next) => match self.index[next] {
                    None => path.push(self.enter(next, nodes, edges)),
                    Some(index) if self.on_stack[next] => {
                        self.low[node] = self.low[node].min(index);
                    }
                    Some(_) => {}
                },
                None => {
                    path.pop();
                    if let Some((parent, _)) = path.last() {
                        self.low[*parent] = self.low[*parent].min(self.low[node]);
                    }
                    self.leave(node);
                }
            }
        }
    }

    fn enter(&mut self, node: usize, nodes: &[u64], edges: &[(u64, u64)]) -> (usize, usize) {
        self.index[node] = Some(self.count);
        self.low[node] = self.count;
        self.count += 1;
        self.stack.push(node);
        self.on_stack[node] = true;
        (node, edges.partition_point(|(from, _)| *from < nodes[node]))
    }

    fn leave(&mut self, node: usize) {
        if self.index[node] != Some(self.low[node]) {
            return;
        }
        let start = self.stack.iter().rposition(|other| *other == node).unwrap_or(0);
        let mut part = self.stack.split_off(start);
        part.iter().for_each(|other| self.on_stack[*other] = false);
        part.sort_unstable();
        if part.len() > 1 {
            self.parts.push(part);
        }
    }
}
