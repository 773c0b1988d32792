//! The durability matrix: what was lost of what was acknowledged, by promise and by fault.

use super::super::format::{count, counted, escape_html as escape, percent};
use super::super::grid::{Grid, Row, loss_share};
use super::super::{Cell, Matrix};
use super::plot::section as begin;

/// From which share of losses on a cell has the next stronger colour.
const CLASSES: [f64; 3] = [0.001, 0.01, 0.1];

pub(super) fn section(page: &mut String, matrix: &Matrix) {
    let grid = Grid::new(matrix);
    begin(
        page,
        "durability",
        "Durability",
        "Records that were acknowledged and then not found, by what the producer waited for, by \
         when the brokers flush, and by what was done to them.",
    );
    page.push_str(
        "<div class=\"scroll\" tabindex=\"0\"><table class=\"matrix\"><thead><tr>\
         <th scope=\"col\">acks</th><th scope=\"col\">flush</th>",
    );
    for fault in &grid.faults {
        page.push_str(&format!("<th scope=\"col\">{}</th>", escape(fault)));
    }
    page.push_str("</tr></thead><tbody>\n");
    let mut before = None;
    for row in &grid.rows {
        line(page, &grid, row, before);
        before = Some(row.acks);
    }
    page.push_str(
        "</tbody></table></div>\n<p class=\"legend\"><span>share lost:</span>\
         <span><i class=\"zero\"></i>none</span><span><i class=\"l0\"></i>below 0.1 %</span>\
         <span><i class=\"l1\"></i>0.1 %</span><span><i class=\"l2\"></i>1 %</span>\
         <span><i class=\"l3\"></i>10 % and more</span></p>\n</section>\n",
    );
}

fn line(page: &mut String, grid: &Grid<'_>, row: &Row<'_>, before: Option<&str>) {
    if before == Some(row.acks) {
        page.push_str("<tr>");
    } else {
        let rows = grid.rows.iter().filter(|other| other.acks == row.acks).count();
        page.push_str(&format!(
            "<tr class=\"first\"><th scope=\"rowgroup\" rowspan=\"{rows}\" class=\"acks\">{}</th>",
            escape(row.acks)
        ));
    }
    page.push_str(&format!("<th scope=\"row\">{}</th>", escape(row.flush)));
    for cell in &row.cells {
        match cell {
            Some(cell) => page.push_str(&place(cell)),
            None => page.push_str("<td class=\"none\">not run</td>"),
        }
    }
    page.push_str("</tr>\n");
}

fn place(cell: &Cell) -> String {
    let tally = &cell.tally;
    let of = format!("of {}", count(tally.acknowledged));
    let title = format!(
        "acks={}, flush {}, {}: {} sent, {} acknowledged, {} found, {} lost, {} duplicated; losses \
         in {} of {}",
        cell.acks,
        cell.flush,
        cell.fault,
        count(tally.sent),
        count(tally.acknowledged),
        count(tally.found),
        count(tally.lost),
        count(tally.duplicated),
        cell.rounds_with_loss,
        counted(u64::from(cell.rounds), "round")
    );
    let title = escape(&title);
    if tally.acknowledged == 0 {
        return format!("<td class=\"none\" title=\"{title}\">nothing acknowledged</td>");
    }
    if tally.lost == 0 {
        return format!(
            "<td class=\"zero\" title=\"{title}\"><b>kept</b><small>0 lost {of}</small></td>"
        );
    }
    let share = loss_share(cell);
    let class = CLASSES.iter().filter(|from| **from <= share).count();
    format!(
        "<td class=\"l{class}\" title=\"{title}\"><b>{} lost</b><small>{of} · {}</small></td>",
        count(tally.lost),
        percent(share)
    )
}
