# The stream must carry both images: data sync compares what a write replaced.
resource "aws_dynamodb_table" "replicated" {
  for_each                    = var.tables
  name                        = each.key
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = each.value.hash_name
  range_key                   = each.value.range_name
  stream_enabled              = true
  stream_view_type            = "NEW_AND_OLD_IMAGES"
  deletion_protection_enabled = true

  attribute {
    name = each.value.hash_name
    type = each.value.hash_type
  }
  dynamic "attribute" {
    for_each = each.value.range_name == null ? [] : [each.value]
    content {
      name = attribute.value.range_name
      type = attribute.value.range_type
    }
  }
  dynamic "ttl" {
    for_each = each.value.ttl_attribute == null ? [] : [each.value.ttl_attribute]
    content {
      attribute_name = ttl.value
      enabled        = true
    }
  }
  point_in_time_recovery {
    enabled = true
  }
  server_side_encryption {
    enabled = true
  }
}

# Data sync's own: its place in this region's feeds, and tombstones.
resource "aws_dynamodb_table" "state" {
  name         = "proa_state"
  billing_mode = "PAY_PER_REQUEST"
  hash_key     = "id"

  attribute {
    name = "id"
    type = "S"
  }
  point_in_time_recovery {
    enabled = true
  }
}

resource "aws_s3_bucket" "replicated" {
  for_each = var.buckets
  bucket   = each.key
}

# Losers of concurrent writes stay as versions.
resource "aws_s3_bucket_versioning" "replicated" {
  for_each = var.buckets
  bucket   = aws_s3_bucket.replicated[each.key].id
  versioning_configuration {
    status = "Enabled"
  }
}

# What changed, for data sync alone, which deletes what it has dealt with. An outage of two weeks loses none.
resource "aws_sqs_queue" "notices" {
  for_each                   = var.notices
  name                       = each.value
  message_retention_seconds  = 1209600
  visibility_timeout_seconds = 60
  sqs_managed_sse_enabled    = true
}

resource "aws_sqs_queue_policy" "notices" {
  for_each  = var.notices
  queue_url = aws_sqs_queue.notices[each.key].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sqs:SendMessage"
      Resource  = aws_sqs_queue.notices[each.key].arn
      Principal = { Service = "s3.amazonaws.com" }
      Condition = { ArnEquals = { "aws:SourceArn" = aws_s3_bucket.replicated[each.key].arn } }
    }]
  })
}

resource "aws_s3_bucket_notification" "replicated" {
  for_each    = var.buckets
  bucket      = aws_s3_bucket.replicated[each.key].id
  eventbridge = true
  depends_on  = [aws_sqs_queue_policy.notices]

  dynamic "queue" {
    for_each = contains(keys(var.notices), each.key) ? [each.key] : []
    content {
      queue_arn = aws_sqs_queue.notices[queue.value].arn
      events    = ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]
    }
  }
}
